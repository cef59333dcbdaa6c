"""C99: one header with the tables of a network and what computes with them, for microcontrollers."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from metaplastic.packed.export.c_check import verify_c
from metaplastic.packed.export.c_self_test import CHECKSUMS, self_test
from metaplastic.packed.export.c_tables import Tables, layer_row, require_exportable
from metaplastic.packed.export.golden import write_verified
from metaplastic.packed.layers import ConvLayer, Input, Readout, SampleMean, SampleReadout
from metaplastic.packed.network import PackedNetwork

_RUNTIME = Path(__file__).with_name("runtime.h")

_INPUTS = {
    Input.BYTES: "as the network was trained on: 0 is dark, 255 bright",
    Input.SIGNS: "0 for -1, anything else for +1",
}


def write_c(network: PackedNetwork, path: Path, *, name: str = "bnn", verify: bool = True) -> Path:
    """Write a network as a C99 header, and verify it on golden vectors.

    Args:
        network: The network.
        path: The file.
        name: What the functions begin with, so that one program can have several networks.
        verify: Whether the header is compiled here, run, and compared with the network, layer by layer.

    Returns:
        The path.

    Raises:
        ValueError: When the network cannot be exported, or there is no C compiler to verify with.
        MismatchError: When the header does not compute what the network does; what was there before is put back.
    """
    source = c_source(network, file=path.name, name=name)
    return write_verified(path, source.encode(), functools.partial(verify_c, network) if verify else None)


def c_source(network: PackedNetwork, *, file: str = "bnn.h", name: str = "bnn") -> str:
    """Write the C99 header of a network.

    Args:
        network: The network.
        file: Name of the header, for its own instructions.
        name: What the functions begin with.

    Returns:
        The source.

    Raises:
        ValueError: For a name that C does not take, and for networks that would need floating point or more than 32
            bits before the last layer: real features, and layer norm with gain and offset between layers.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"expected a name of a-z, 0-9 and _ for the functions, got {name!r}; e.g. 'bnn'")
    tables, rows, readout = _tables(network)
    parts = {
        "TITLE": _words(repr(network)),
        "FILE": _words(file),
        "INPUT": _INPUTS[network.input],
        "TASKS": _tasks(network),
        "FLASH": str(tables.size),
        "MEMORY": str(sum(_buffers(network))),
        "LIBRARIES": " -lm" if _per_sample(network) else "",
        "INCLUDES": "#include <math.h>\n" if _per_sample(network) else "",
        "CHECKSUMS": CHECKSUMS,
        "DEFINES": _defines(network),
        "TABLES": "\n".join([*tables.text, "static const bnn_layer bnn_layers[BNN_LAYERS] = {", *rows, "};\n"]),
        "READOUT": readout,
        "MOMENTS": "    bnn_moments moments = bnn_measure(last, bytes, from);\n" if _per_sample(network) else "",
        "LOGIT": "sum, unit, moments" if _per_sample(network) else "sum, unit, task",
        "SELF_TEST": self_test(network),
    }
    source = re.sub(r"@([A-Z_]+)@", lambda place: parts[place[1]], _RUNTIME.read_text(encoding="utf-8"))
    return source.replace("bnn_", f"{name}_").replace("BNN_", f"{name.upper()}_")


@dataclass(frozen=True)
class Footprint:
    """What a C export takes on a microcontroller, beside its code, its stack and the input.

    Args:
        tables: Bytes of weights, thresholds and scales, which stay in flash.
        memory: Bytes of working memory.
    """

    tables: int
    memory: int


def footprint(network: PackedNetwork) -> Footprint:
    """Count what the C export of a network takes, as the header says it.

    Args:
        network: The network.

    Returns:
        Bytes in flash and in memory.

    Raises:
        ValueError: For networks that cannot be exported to C.
    """
    return Footprint(_tables(network)[0].size, sum(_buffers(network)))


def _tables(network: PackedNetwork) -> tuple[Tables, list[str], str]:
    """Write the tables of a network, a row for each layer, and the function of its readout."""
    require_exportable(network)
    tables = Tables()
    rows = [layer_row(tables, network, index) for index in range(len(network.layers))]
    return tables, rows, _readout(tables, network)


def _per_sample(network: PackedNetwork) -> bool:
    return isinstance(network.layers[-1].after, SampleReadout)


def _words(text: str) -> str:
    """Leave nothing of a text that could end a comment or a line of it."""
    return re.sub(r"[^A-Za-z0-9 _.,:()\[\]'=>-]", "_", text)


def _tasks(network: PackedNetwork) -> str:
    return "".join(f" *     {index}: {_words(name)}\n" for index, name in enumerate(network.tasks))


def _buffers(network: PackedNetwork) -> tuple[int, int]:
    """Bytes of the two buffers: outputs of even layers; outputs of odd ones and, before them, signs of the input."""
    widths = [-(-layer.out_features // 8) for layer in network.layers[:-1]]
    signs = [-(-network.in_features // 8)] if network.input is Input.SIGNS else []
    return max([1, *widths[::2]]), max([1, *signs, *widths[1::2]])


def _defines(network: PackedNetwork) -> str:
    even, odd = _buffers(network)
    numbers = {
        "INPUTS": network.in_features,
        "CLASSES": network.classes,
        "TASKS": max(len(network.tasks), 1),
        "LAYERS": len(network.layers),
        "BYTES": int(network.input is Input.BYTES),
        "CONVOLUTIONS": int(any(isinstance(layer, ConvLayer) for layer in network.layers)),
        "SAMPLE_MEANS": int(any(isinstance(layer.after, SampleMean) for layer in network.layers)),
        "EVEN_BYTES": even,
        "ODD_BYTES": odd,
    }
    notes = {"BYTES": " /* the first layer multiplies bytes, not signs */"}
    return "\n".join(f"#define BNN_{name} {value}{notes.get(name, '')}" for name, value in numbers.items())


def _readout(tables: Tables, network: PackedNetwork) -> str:
    readout = network.layers[-1].after
    if isinstance(readout, SampleReadout):
        return _sample_readout(tables, readout, network.classes)
    assert isinstance(readout, Readout)
    tables.add("float", "scale", readout.scale)
    tables.add("float", "offset", readout.offset)
    return _TASK_READOUT.replace("TASK_OF", "task" if readout.tables > 1 else "0 * task")


def _sample_readout(tables: Tables, readout: SampleReadout, classes: int) -> str:
    affine = ""
    if readout.gain is not None and readout.offset is not None:
        tables.add("float", "gain", readout.gain)
        tables.add("float", "offset", readout.offset)
        affine = _AFFINE
    numbers = {
        "UNIT_SQUARED": readout.unit * readout.unit,
        "UNIT": readout.unit,
        "EPS": float(classes * classes) * readout.eps,
    }
    return re.sub(
        r"@([A-Z_]+)@", lambda place: affine if place[1] == "AFFINE" else numbers[place[1]].hex(), _SAMPLE_READOUT
    )


_TASK_READOUT = """\
static float bnn_logit(int32_t sum, uint32_t unit, unsigned task)
{
    uint32_t at = TASK_OF * BNN_CLASSES + unit;
    float scale, offset;
    BNN_COPY(&scale, bnn_scale + at, sizeof scale);
    BNN_COPY(&offset, bnn_offset + at, sizeof offset);
    BNN_ROUNDED float product = (float)sum * scale;
    return product + offset;
}
"""

_SAMPLE_READOUT = """\
typedef struct {
    int64_t total;
    double root;
} bnn_moments;

static bnn_moments bnn_measure(const bnn_layer *last, int bytes, const uint8_t *from)
{
    int64_t total = 0, squares = 0;
    for (uint32_t unit = 0; unit < BNN_CLASSES; unit++) {
        int64_t sum = bnn_sum(last, bytes, from, unit);
        total += sum;
        squares += sum * sum;
    }
    BNN_ROUNDED double spread = @UNIT_SQUARED@ * (double)(BNN_CLASSES * squares - total * total);
    BNN_ROUNDED double variance = spread + @EPS@;
    bnn_moments found = {total, sqrt(variance)};
    return found;
}

static float bnn_logit(int32_t sum, uint32_t unit, bnn_moments moments)
{
    BNN_ROUNDED double deviation = @UNIT@ * (double)(BNN_CLASSES * (int64_t)sum - moments.total);
    BNN_ROUNDED double normalised = deviation / moments.root;
@AFFINE@    (void)unit;
    return (float)normalised;
}
"""

_AFFINE = """\
    float gain, offset;
    BNN_COPY(&gain, bnn_gain + unit, sizeof gain);
    BNN_COPY(&offset, bnn_offset + unit, sizeof offset);
    BNN_ROUNDED double product = (double)gain * normalised;
    normalised = product + (double)offset;
"""
