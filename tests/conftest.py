"""One thread: tiny tensors gain nothing from more, and a second one makes the suite crawl on a busy machine."""

import torch

torch.set_num_threads(1)
