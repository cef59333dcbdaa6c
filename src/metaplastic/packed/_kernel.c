/*
 * Chains of dense layers with binary weights, in integers: products with signs, then comparison with thresholds. Below
 * them stands the shell for Python; with METAPLASTIC_CORE_ONLY defined the file is plain C without it.
 */
#ifndef METAPLASTIC_CORE_ONLY
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#endif
#include "../native/signs.h"

enum {
    CHUNK = 64,            /* samples that pass through all layers together, at most */
    THREAD_WORK = 1 << 20, /* bytes of weights that are worth a thread */
};

typedef struct {
    const path_type *path;
    size_t count;
    layer_type *layers;
} chain_type;

/* ---- layers ---- */

static size_t row_bytes(const layer_type *layer)
{
    return layer->bytes ? layer->features : ceil_divide(layer->features, 8);
}

/* Bits 64 w .. 64 w + 63 of a row of `features` bits; those behind the last are 0. */
static uint64_t word_of_bits(const uint8_t *row, size_t features, size_t w)
{
    uint64_t word = 0;
    const size_t left = features - 64 * w, bytes = left < 64 ? ceil_divide(left, 8) : 8;
    for (size_t b = 0; b < bytes; b++)
        word |= (uint64_t)row[8 * w + b] << (8 * b);
    return left < 64 ? word & ((UINT64_C(1) << left) - 1) : word;
}

static void pack_unit(layer_type *layer, size_t unit, const uint8_t *row)
{
    void *half = (char *)layer->weight + unit / HALF * layer->half_bytes;
    uint64_t *words = half;
    uint32_t *short_words = half;
    for (size_t w = 0; w < ceil_divide(layer->features, 64); w++) {
        const uint64_t word = word_of_bits(row, layer->features, w);
        if (!layer->bytes) {
            words[w * HALF + unit % HALF] = word;
            continue;
        }
        short_words[2 * w * HALF + unit % HALF] = (uint32_t)word;
        if (2 * w + 1 < layer->steps)
            short_words[(2 * w + 1) * HALF + unit % HALF] = (uint32_t)(word >> 32);
    }
}

/* Bits 15 w .. 15 w + 14 of every unit's row, for what is looked up. */
static void pack_fifteens(layer_type *layer, size_t unit, const uint8_t *row)
{
    uint16_t *words = layer->fifteens + unit / HALF * layer->words * HALF + unit % HALF;
    for (size_t i = 0; i < layer->features; i++)
        words[i / FIFTEEN * HALF] |= (uint16_t)((row[i / 8] >> i % 8 & 1) << i % FIFTEEN);
}

/* Weights are `units` rows of ceil(features / 8) bytes; thresholds, int32, and flipped, bytes, `[tables][units]`. */
static int make_layer(layer_type *layer, const path_type *path, int bytes, size_t features, size_t units, const uint8_t *weight, size_t tables,
                      const uint8_t *threshold, const uint8_t *flipped)
{
    layer->tables = tables;
    const int shaped = shape_layer(layer, bytes, features, units);
    layer->threshold = allocate(tables * layer->halves * HALF, sizeof *layer->threshold);
    layer->flipped = allocate(tables * layer->halves, sizeof *layer->flipped);
    if (!shaped || !layer->threshold || !layer->flipped)
        return 0;
    for (size_t unit = 0; unit < units; unit++)
        pack_unit(layer, unit, weight + unit * ceil_divide(features, 8));
    if (bytes && path->look_up && features <= LOOKUP_LIMIT) {
        layer->words = ceil_divide(features, FIFTEEN);
        layer->fifteens = allocate(layer->halves * layer->words * HALF, sizeof *layer->fifteens);
        if (!layer->fifteens)
            return 0;
        for (size_t unit = 0; unit < units; unit++)
            pack_fifteens(layer, unit, weight + unit * ceil_divide(features, 8));
    }
    for (size_t table = 0; table < tables; table++) {
        int32_t *row = layer->threshold + table * layer->halves * HALF;
        for (size_t unit = 0; unit < layer->halves * HALF; unit++)
            row[unit] = INT32_MAX; /* no sum reaches it: units that only fill a half give bits 0 */
        for (size_t unit = 0; unit < units; unit++) {
            memcpy(row + unit, threshold + (table * units + unit) * sizeof *row, sizeof *row);
            layer->flipped[table * layer->halves + unit / HALF] |= (uint32_t)(flipped[table * units + unit] != 0)
                                                                   << (unit % HALF);
        }
    }
    return 1;
}

static void release_chain(chain_type *chain)
{
    for (size_t i = 0; chain->layers && i < chain->count; i++) {
        release(chain->layers[i].weight);
        release(chain->layers[i].fifteens);
        release(chain->layers[i].threshold);
        release(chain->layers[i].flipped);
    }
    free(chain->layers);
    chain->layers = NULL;
}

/* ---- passing samples through the layers ---- */

typedef struct {
    const chain_type *chain;
    size_t table;
    size_t width;    /* words in the longest row */
    uint64_t *front; /* rows of inputs, and those of outputs: they change places with every layer */
    uint64_t *back;
} pass_type;

static void load_rows(const layer_type *layer, const uint8_t *input, size_t count, uint64_t *rows)
{
    for (size_t n = 0; n < count; n++, input += row_bytes(layer), rows += layer->stride)
        if (layer->bytes)
            load_bytes(layer, input, rows);
        else
            for (size_t w = 0; w < layer->stride; w++)
                rows[w] = word_of_bits(input, layer->features, w);
}

static void write_sums(const layer_type *layer, size_t half, const int32_t *sums, size_t count, int32_t *output)
{
    const size_t left = layer->units - half * HALF, units = left < HALF ? left : HALF;
    for (size_t n = 0; n < count; n++)
        memcpy(output + n * layer->units + half * HALF, sums + n * HALF, units * sizeof *output);
}

static void write_bits(const path_type *path, const layer_type *layer, size_t table, size_t half, const int32_t *sums,
                       size_t count, uint64_t *rows)
{
    const size_t at = (layer->tables > 1 ? table : 0) * layer->halves + half;
    for (size_t n = 0; n < count; n++) {
        const uint32_t bits = path->compare(sums + n * HALF, layer->threshold + at * HALF) ^ layer->flipped[at];
        uint64_t *word = rows + n * layer->blocks + half / 2;
        *word = half % 2 ? *word | (uint64_t)bits << HALF : bits;
    }
}

static void write_half(const path_type *path, const layer_type *layer, size_t table, size_t half, const int32_t *sums,
                       size_t count, uint64_t *rows_out, int32_t *output)
{
    if (layer->tables)
        write_bits(path, layer, table, half, sums, count, rows_out);
    else
        write_sums(layer, half, sums, count, output);
}

/* Half a block of units for all samples: bits to `rows_out`, or sums to `output` in the last layer. */
static void run_half(const path_type *path, const layer_type *layer, size_t table, size_t half, const uint64_t *rows,
                     size_t count, uint64_t *rows_out, int32_t *output)
{
    const void *weight = (const char *)layer->weight + half * layer->half_bytes;
    product_function *product = layer->bytes ? path->bytes : path->signs;
    int32_t sums[TILE * HALF];
    for (size_t n = 0; n < count; n += TILE) {
        const size_t tile = count - n < TILE ? count - n : TILE;
        product(layer, weight, rows + n * layer->stride, tile, sums);
        write_half(path, layer, table, half, sums, tile, rows_out + n * layer->blocks, output + n * layer->units);
    }
}

/* A thread's part of a layer of bytes for a single sample, by sums that are looked up. */
static void look_up_halves(const path_type *path, const layer_type *layer, size_t table, size_t half, size_t end,
                           const uint8_t *input, uint64_t *row_out, int32_t *output)
{
    uint16_t space[(LOOKUP_LIMIT / FIVE + 1) * HALF], *tables = space;
    int32_t sums[HALF], total = 0;
    tables += (64 - (uintptr_t)tables % 64) % 64 / sizeof *tables;
    path->tables(layer, input, tables);
    for (size_t i = 0; i < layer->features; i++)
        total += input[i];
    for (; half < end; half++) {
        path->look_up(layer, layer->fifteens + half * layer->words * HALF, tables, total, sums);
        write_half(path, layer, table, half, sums, 1, row_out, output);
    }
}

/* All layers for a few samples; every one of `parts` threads computes its part of the blocks. */
static void run_layers(pass_type pass, const uint8_t *input, size_t count, int32_t *output, size_t part, size_t parts)
{
    const chain_type *chain = pass.chain;
    const int looked_up = count == 1 && chain->layers->fifteens;
    if (part == 0 && !looked_up)
        load_rows(chain->layers, input, count, pass.front);
    for (size_t i = 0; i < chain->count; i++) {
        const layer_type *layer = chain->layers + i;
        const size_t start = 2 * (layer->blocks * part / parts), stop = 2 * (layer->blocks * (part + 1) / parts);
        const size_t end = stop < layer->halves ? stop : layer->halves;
        if (i == 0 && looked_up)
            look_up_halves(chain->path, layer, pass.table, start, end, input, pass.back, output);
        else {
            if (parts > 1) {
                PRAGMA(omp barrier)
            }
            for (size_t half = start; half < end; half++)
                run_half(chain->path, layer, pass.table, half, pass.front, count, pass.back, output);
        }
        uint64_t *rows = pass.front;
        pass.front = pass.back;
        pass.back = rows;
    }
}

static size_t longest_row(const chain_type *chain)
{
    size_t width = 0;
    for (size_t i = 0; i < chain->count; i++) {
        const layer_type *layer = chain->layers + i;
        width = layer->stride > width ? layer->stride : width;
        width = layer->blocks > width ? layer->blocks : width;
    }
    return width;
}

static size_t useful_threads(const chain_type *chain, size_t rows, size_t threads)
{
    double work = 1;
    for (size_t i = 0; i < chain->count; i++) {
        const layer_type *layer = chain->layers + i;
        work += (double)rows * (double)(layer->halves * layer->half_bytes) * (layer->bytes ? 8 : 1) / THREAD_WORK;
    }
    return work < (double)threads ? (size_t)work : threads;
}

/* Sums [rows][units of the last layer]; 0 where there is no memory. */
static int forward(const chain_type *chain, const uint8_t *input, size_t rows, size_t table, size_t threads,
                   int32_t *output)
{
    threads = useful_threads(chain, rows, threads);
    const size_t width = longest_row(chain), units = chain->layers[chain->count - 1].units;
    const size_t bytes = row_bytes(chain->layers);
    const int by_units = threads > 1 && rows < 2 * TILE * threads; /* else every thread has samples of its own */
    size_t chunk = ceil_divide(ceil_divide(rows, by_units ? 1 : threads), TILE) * TILE;
    chunk = chunk > CHUNK ? CHUNK : chunk > rows ? rows : chunk;
    const size_t workers = by_units ? 1 : threads;
    if (rows == 0)
        return 1;
    if (width > SIZE_MAX / 16 / chunk / workers)
        return 0;
    uint64_t *buffers = allocate(2 * workers * chunk * width, sizeof *buffers);
    if (!buffers)
        return 0;
    if (by_units)
        for (size_t n = 0; n < rows; n += chunk) {
            const pass_type pass = {chain, table, width, buffers, buffers + chunk * width};
            const size_t count = rows - n < chunk ? rows - n : chunk;
            PRAGMA(omp parallel num_threads((int)threads))
            {
#ifdef _OPENMP
                const size_t part = (size_t)omp_get_thread_num(), parts = (size_t)omp_get_num_threads();
#else
                const size_t part = 0, parts = 1;
#endif
                run_layers(pass, input + n * bytes, count, output + n * units, part, parts);
            }
        }
    else {
        const ptrdiff_t chunks = (ptrdiff_t)ceil_divide(rows, chunk);
        PRAGMA(omp parallel for schedule(dynamic) num_threads((int)threads) if(threads > 1))
        for (ptrdiff_t c = 0; c < chunks; c++) {
#ifdef _OPENMP
            uint64_t *own = buffers + 2 * (size_t)(threads > 1 ? omp_get_thread_num() : 0) * chunk * width;
#else
            uint64_t *own = buffers;
#endif
            const pass_type pass = {chain, table, width, own, own + chunk * width};
            const size_t n = (size_t)c * chunk, count = rows - n < chunk ? rows - n : chunk;
            run_layers(pass, input + n * bytes, count, output + n * units, 0, 1);
        }
    }
    release(buffers);
    return 1;
}

/* ---- the shell for Python ---- */

#ifndef METAPLASTIC_CORE_ONLY
#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>
#define WITH_FORK
/* The threads of a parent process do not exist in a forked one, and to wait for them would be for ever. */
static int forked = 0;
static void after_fork(void) { forked = 1; }
#endif

enum { THREAD_LIMIT = 1024 };

typedef struct {
    PyObject_HEAD
    chain_type chain;
    size_t tables;
} ChainObject;

static void chain_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    release_chain(&((ChainObject *)self)->chain);
    type->tp_free(self);
    Py_DECREF(type);
}

static const path_type *find_path(const char *name)
{
    for (size_t i = 0; i < PATH_COUNT; i++)
        if (!strcmp(PATHS[i].name, name) && PATHS[i].available())
            return PATHS + i;
    PyErr_Format(PyExc_ValueError, "path '%s' is not among those of this machine; paths() lists them", name);
    return NULL;
}

static int expect_length(const char *what, const Py_buffer *buffer, size_t count, size_t size)
{
    if (count <= (size_t)PY_SSIZE_T_MAX / size && (size_t)buffer->len == count * size)
        return 1;
    PyErr_Format(PyExc_ValueError, "expected %zu bytes of %s, got %zd", count * size, what, buffer->len);
    return 0;
}

/* One layer from (units, weight, tables, threshold, flipped). */
static int add_layer(ChainObject *self, PyObject *item, int bytes, size_t features, int last)
{
    Py_ssize_t units, tables;
    Py_buffer weight, threshold, flipped;
    int made = 0;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "expected every layer as a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(item, "ny*ny*y*", &units, &weight, &tables, &threshold, &flipped))
        return 0;
    if (features > INT32_MAX / 255 || units < 1 || units > INT32_MAX / 255 || tables < 0 || tables > INT32_MAX)
        PyErr_Format(PyExc_ValueError, "expected from 1 to %d inputs and units, got %zu and %zd", INT32_MAX / 255,
                     features, units);
    else if ((tables == 0) != last)
        PyErr_SetString(PyExc_ValueError, "expected thresholds behind every layer but the last, and there none");
    else if (tables > 1 && self->tables > 1 && (size_t)tables != self->tables)
        PyErr_Format(PyExc_ValueError, "expected as many tables in every layer, got %zu and %zd", self->tables, tables);
    else if (expect_length("weights", &weight, (size_t)units, ceil_divide(features, 8)) &&
             expect_length("thresholds", &threshold, (size_t)tables * (size_t)units, 4) &&
             expect_length("flips", &flipped, (size_t)tables * (size_t)units, 1)) {
        self->tables = (size_t)tables > self->tables ? (size_t)tables : self->tables;
        made = make_layer(self->chain.layers + self->chain.count++, self->chain.path, bytes, features, (size_t)units, weight.buf,
                          (size_t)tables, threshold.buf, flipped.buf);
        if (!made)
            PyErr_NoMemory();
    }
    PyBuffer_Release(&weight);
    PyBuffer_Release(&threshold);
    PyBuffer_Release(&flipped);
    return made;
}

static int add_layers(ChainObject *self, PyObject *layers, int bytes, Py_ssize_t features)
{
    const Py_ssize_t count = PyTuple_GET_SIZE(layers);
    if (count < 1 || features < 1) {
        PyErr_SetString(PyExc_ValueError, "expected at least one layer and one input");
        return 0;
    }
    self->chain.layers = calloc((size_t)count, sizeof *self->chain.layers);
    if (!self->chain.layers) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!add_layer(self, PyTuple_GET_ITEM(layers, i), bytes && i == 0, (size_t)features, i == count - 1))
            return 0;
        features = (Py_ssize_t)self->chain.layers[i].units;
    }
    return 1;
}

static PyObject *chain_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *name;
    int bytes;
    Py_ssize_t features;
    PyObject *layers;
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "expected arguments without names");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "spnO!", &name, &bytes, &features, &PyTuple_Type, &layers))
        return NULL;
    const path_type *path = find_path(name);
    if (!path)
        return NULL;
    ChainObject *self = (ChainObject *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->chain.path = path;
    self->tables = 1;
    if (add_layers(self, layers, bytes, features))
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int check_forward(const ChainObject *self, const Py_buffer *input, const Py_buffer *output, Py_ssize_t table,
                         Py_ssize_t threads)
{
    const chain_type *chain = &self->chain;
    const size_t bytes = row_bytes(chain->layers);
    if ((size_t)input->len % bytes) {
        PyErr_Format(PyExc_ValueError, "expected rows of %zu bytes, got %zd bytes", bytes, input->len);
        return 0;
    }
    if ((uintptr_t)output->buf % sizeof(int32_t)) {
        PyErr_SetString(PyExc_ValueError, "expected an aligned output");
        return 0;
    }
    if (table < 0 || (self->tables > 1 && (size_t)table >= self->tables)) {
        PyErr_Format(PyExc_ValueError, "expected a table from 0 to %zu, got %zd", self->tables - 1, table);
        return 0;
    }
    if (threads < 1) {
        PyErr_Format(PyExc_ValueError, "expected at least one thread, got %zd", threads);
        return 0;
    }
    return expect_length("output", output, (size_t)input->len / bytes, chain->layers[chain->count - 1].units * 4);
}

static PyObject *chain_forward(PyObject *object, PyObject *args)
{
    ChainObject *self = (ChainObject *)object;
    Py_buffer input, output;
    Py_ssize_t table, threads;
    int done = 0;
    if (!PyArg_ParseTuple(args, "y*w*nn", &input, &output, &table, &threads))
        return NULL;
    if (check_forward(self, &input, &output, table, threads)) {
        const size_t rows = (size_t)input.len / row_bytes(self->chain.layers);
#ifdef WITH_FORK
        threads = forked ? 1 : threads;
#elif !defined(_OPENMP)
        threads = 1;
#endif
        threads = threads > THREAD_LIMIT ? THREAD_LIMIT : threads;
        Py_BEGIN_ALLOW_THREADS
        done = forward(&self->chain, input.buf, rows, (size_t)table, (size_t)threads, output.buf);
        Py_END_ALLOW_THREADS
        if (!done)
            PyErr_NoMemory();
    }
    PyBuffer_Release(&input);
    PyBuffer_Release(&output);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *list_paths(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && i < PATH_COUNT; i++) {
        PyObject *name = PATHS[i].available() ? PyUnicode_FromString(PATHS[i].name) : NULL;
        if (name && PyList_Append(names, name))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef chain_methods[] = {
    {"forward", chain_forward, METH_VARARGS, "forward(input, output, table, threads): write the sums of all rows."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot chain_slots[] = {
    {Py_tp_new, chain_new},
    {Py_tp_dealloc, chain_dealloc},
    {Py_tp_methods, chain_methods},
    {Py_tp_doc, "Chain(path, bytes, features, layers); a layer is (units, weight, tables, threshold, flipped)."},
    {0, NULL},
};

static PyType_Spec chain_spec = {
    "metaplastic.packed._kernel.Chain", sizeof(ChainObject), 0, Py_TPFLAGS_DEFAULT, chain_slots,
};

static int fill_module(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&chain_spec);
#ifdef WITH_FORK
    static int registered = 0;
    if (!registered)
        pthread_atfork(NULL, NULL, after_fork);
    registered = 1;
#endif
#ifdef WITH_X86
    __builtin_cpu_init();
#endif
    if (!type)
        return -1;
    const int failed = PyModule_AddObjectRef(module, "Chain", type);
    Py_DECREF(type);
#ifdef _OPENMP
    return failed ? -1 : PyModule_AddIntConstant(module, "threaded", 1);
#else
    return failed ? -1 : PyModule_AddIntConstant(module, "threaded", 0);
#endif
}

static PyMethodDef module_methods[] = {
    {"paths", list_paths, METH_NOARGS, "paths(): names of the paths that this machine has, fastest first."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "Dense layers with binary weights, in integers.", 0, module_methods,
    module_slots,          NULL,      NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module_definition); }
#endif
