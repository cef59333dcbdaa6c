import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Layers this small take several times as long on two threads as on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
