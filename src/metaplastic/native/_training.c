/*
 * What training multiplies by binary weights, for processors with AVX-512: sums of signs or bytes forward, as packed
 * networks compute them, and the products of their gradients.
 *
 * A product of real numbers with signs needs no multiplication. Four numbers have sixteen sums with signs; they are
 * made once, kept in one register, and looked up for sixteen columns at once by four bits of each column's word. The
 * sums are those of float32, added up in another order.
 *
 * Columns are the transpose of rows of signs: [ceil(rows / 32)][stride] words, where bit r % 32 of a word is the sign
 * of row r in that column. With METAPLASTIC_CORE_ONLY defined the file is plain C without the shell for Python.
 */
#ifndef METAPLASTIC_CORE_ONLY
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#endif
#include "signs.h"

enum {
    STEP = 64,             /* columns that are packed together */
    ROWS = 32,             /* rows whose signs make one word of a column */
    TERMS = 4,             /* numbers whose sums with signs make one table */
    TABLES = 8,            /* tables that are looked up together: units, or samples */
    LANES = 16,            /* sums in a table, and columns looked up at once */
    COLUMNS = 2 * LANES,   /* columns whose sums are kept in registers */
    GROUPS = 64,           /* groups of terms whose tables are made at once: they stay in the fastest cache */
    SPAN = 1024,           /* columns that a thread passes on at once */
    SAMPLES = 256,         /* samples that pass forward together */
    THREAD_WORK = 1 << 21, /* products that are worth a thread */
    STREAMED = 1 << 22,    /* bytes of a result from which it is written past the caches */
};

typedef struct {
    layer_type layer;  /* signs as the forward product reads them */
    size_t stride;     /* words in a row of columns */
    uint32_t *columns; /* [layer.halves][stride]: signs as the backward product reads them; NULL for bytes */
} weights_type;

/* A matrix of float32 whose rows are `stride` elements apart. */
typedef struct {
    float *data;
    size_t stride, rows;
} matrix_type;

static size_t stride_of_columns(size_t features) { return ceil_divide(features, STEP) * STEP; }

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static int make_weights(weights_type *weights, int bytes, size_t features, size_t units)
{
    weights->stride = stride_of_columns(features);
    weights->columns = NULL;
    if (!shape_layer(&weights->layer, bytes, features, units))
        return 0;
    if (!bytes)
        weights->columns = allocate(weights->layer.halves * weights->stride, sizeof *weights->columns);
    return bytes || weights->columns;
}

static void release_weights(weights_type *weights)
{
    release(weights->layer.weight);
    release(weights->columns);
}

#ifdef WITH_X86
#define FAST __attribute__((target("avx512f,avx512bw,avx512bf16")))
#define NOINLINE static __attribute__((noinline))

static int training_available(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

static int threads_for(const weights_type *weights, size_t rows, size_t threads)
{
    const double work = 1 + (double)rows * (double)weights->layer.features * (double)weights->layer.units / THREAD_WORK;
    return (int)(work < (double)threads ? work : (double)threads);
}

FAST INLINE uint64_t lanes_below(size_t count) { return count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX; }

/* ---- packing ---- */

/* Put the bits of row `r` into the words of their 64 columns. */
FAST INLINE void add_row(__m512i words[4], uint64_t bits, int r)
{
    const __m512i bit = _mm512_set1_epi32((int)(UINT32_C(1) << r));
    UNROLL for (int v = 0; v < 4; v++)
        words[v] = _mm512_mask_or_epi32(words[v], (__mmask16)(bits >> (LANES * v)), words[v], bit);
}

FAST INLINE void store_words(const __m512i words[4], uint32_t *columns)
{
    for (int v = 0; v < 4; v++)
        _mm512_store_si512(columns + LANES * v, words[v]);
}

/* The weights of 32 units, from their signs as int8. */
FAST static void pack_half(weights_type *weights, const int8_t *signs, size_t half)
{
    const layer_type *layer = &weights->layer;
    const int units = (int)smaller(HALF, layer->units - half * HALF);
    void *packed = (char *)layer->weight + half * layer->half_bytes;
    signs += half * HALF * layer->features;
    for (size_t start = 0; start < layer->features; start += STEP) {
        const uint64_t lanes = lanes_below(layer->features - start);
        __m512i words[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                            _mm512_setzero_si512()};
        for (int u = 0; u < units; u++) {
            const __m512i row = _mm512_maskz_loadu_epi8(lanes, signs + (size_t)u * layer->features + start);
            const uint64_t bits = _mm512_cmpgt_epi8_mask(row, _mm512_setzero_si512());
            if (!layer->bytes) {
                ((uint64_t *)packed)[start / STEP * HALF + (size_t)u] = bits;
                add_row(words, bits, u);
                continue;
            }
            uint32_t *word = (uint32_t *)packed + start / 32 * HALF + u;
            word[0] = (uint32_t)bits;
            if (start / 32 + 1 < layer->steps)
                word[HALF] = (uint32_t)(bits >> 32);
        }
        if (!layer->bytes)
            store_words(words, weights->columns + half * weights->stride + start);
    }
}

/*
 * The signs of 32 samples of `x`: `rows` of bits for the forward product, and a row of `columns` for the gradient where
 * they are wanted. Gives 0, or NaN where a value is not finite.
 */
FAST static float pack_samples(const weights_type *weights, matrix_type x, size_t first, uint64_t *rows,
                               uint32_t *columns)
{
    const layer_type *layer = &weights->layer;
    const int samples = (int)smaller(ROWS, x.rows - first);
    __m512 zero = _mm512_setzero_ps();
    for (size_t start = 0; start < layer->features; start += STEP) {
        const uint64_t lanes = lanes_below(layer->features - start);
        __m512i words[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                            _mm512_setzero_si512()};
        for (int n = 0; n < samples; n++) {
            const float *row = x.data + (first + (size_t)n) * x.stride + start;
            uint64_t bits = 0;
            UNROLL for (int v = 0; v < 4; v++) {
                const __mmask16 there = (__mmask16)(lanes >> (LANES * v));
                const __m512 values = _mm512_maskz_loadu_ps(there, row + LANES * v);
                zero = _mm512_fmadd_ps(values, _mm512_setzero_ps(), zero);
                bits |= (uint64_t)_mm512_mask_cmp_ps_mask(there, values, _mm512_setzero_ps(), _CMP_GE_OQ) << (LANES * v);
            }
            rows[(first + (size_t)n) * layer->stride + start / STEP] = bits;
            add_row(words, bits, n);
        }
        if (columns)
            store_words(words, columns + first / ROWS * weights->stride + start);
    }
    return _mm512_reduce_add_ps(zero);
}

/* ---- forward ---- */

/* Sums of 32 units for up to eight samples, as float32 in units of `scale`, to which `zero` is added. */
FAST static void write_floats(const int32_t *sums, size_t count, size_t units, float scale, float zero, float *y,
                              size_t stride)
{
    for (size_t n = 0; n < count; n++, sums += HALF, y += stride)
        for (size_t u = 0; u < units; u += LANES) {
            const __m512 values = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + u));
            const __m512 scaled = _mm512_add_ps(_mm512_mul_ps(values, _mm512_set1_ps(scale)), _mm512_set1_ps(zero));
            _mm512_mask_storeu_ps(y + u, (__mmask16)lanes_below(units - u), scaled);
        }
}

static void forward_half(const weights_type *weights, const uint64_t *rows, size_t count, size_t half, float scale,
                         float zero, float *y, size_t stride)
{
    const layer_type *layer = &weights->layer;
    const void *weight = (const char *)layer->weight + half * layer->half_bytes;
    int32_t sums[TILE * HALF];
    for (size_t n = 0; n < count; n += TILE) {
        const size_t tile = smaller(TILE, count - n);
        (layer->bytes ? bytes_avx512 : signs_avx512)(layer, weight, rows + n * layer->stride, tile, sums);
        write_floats(sums, tile, smaller(HALF, layer->units - half * HALF), scale, zero, y + n * stride + half * HALF,
                     stride);
    }
}

/* y = scale x W^T + zero for packed rows of x. */
static void forward_rows(const weights_type *weights, const uint64_t *rows, float scale, float zero, matrix_type y,
                         size_t threads)
{
    const size_t halves = weights->layer.halves;
    const ptrdiff_t items = (ptrdiff_t)(ceil_divide(y.rows, SAMPLES) * halves);
    (void)threads; /* without OpenMP there is one */
    PRAGMA(omp parallel for num_threads(threads_for(weights, y.rows, threads)))
    for (ptrdiff_t item = 0; item < items; item++) {
        const size_t first = (size_t)item / halves * SAMPLES, count = smaller(SAMPLES, y.rows - first);
        forward_half(weights, rows + first * weights->layer.stride, count, (size_t)item % halves, scale, zero,
                     y.data + first * y.stride, y.stride);
    }
}

/* y = sign(x) W^T; with `finite` it is NaN where a value of x is not finite. 0 where there is no memory. */
static int forward_signs(const weights_type *weights, matrix_type x, int finite, float zero, uint32_t *columns,
                         matrix_type y, size_t threads)
{
    uint64_t *rows = allocate(x.rows * weights->layer.stride, sizeof *rows);
    if (!rows)
        return 0;
    const ptrdiff_t packs = (ptrdiff_t)ceil_divide(x.rows, ROWS);
    float found = 0;
    PRAGMA(omp parallel for reduction(+ : found) num_threads(threads_for(weights, x.rows, threads)))
    for (ptrdiff_t pack = 0; pack < packs; pack++)
        found += pack_samples(weights, x, (size_t)pack * ROWS, rows, columns);
    forward_rows(weights, rows, 1.0f, finite ? zero + found : zero, y, threads);
    release(rows);
    return 1;
}

/* y = scale x W^T + zero for bytes x, rows `stride` bytes apart. 0 where there is no memory. */
static int forward_bytes(const weights_type *weights, const uint8_t *x, size_t stride, float scale, float zero,
                         matrix_type y, size_t threads)
{
    uint64_t *rows = allocate(y.rows * weights->layer.stride, sizeof *rows);
    if (!rows)
        return 0;
    PRAGMA(omp parallel for num_threads(threads_for(weights, y.rows, threads)))
    for (ptrdiff_t n = 0; n < (ptrdiff_t)y.rows; n++)
        load_bytes(&weights->layer, x + (size_t)n * stride, rows + (size_t)n * weights->layer.stride);
    forward_rows(weights, rows, scale, zero, y, threads);
    release(rows);
    return 1;
}

/* ---- backward ---- */

/*
 * Tables [groups][TABLES][LANES] of eight vectors, which are `across` apart and whose elements are `along` apart: all
 * sums of four elements with signs. Of vectors and elements that are not there it takes zeros.
 */
FAST INLINE void fill_tables(const float *vectors, size_t along, size_t across, size_t elements, size_t count,
                             const int all_there, float *tables)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i signs[TERMS];
    for (int k = 0; k < TERMS; k++)
        signs[k] = _mm512_maskz_set1_epi32(_mm512_testn_epi32_mask(lane, _mm512_set1_epi32(1 << k)), INT32_MIN);
    for (size_t start = 0; start < elements; start += TERMS)
        for (size_t t = 0; t < TABLES; t++, tables += LANES) {
            __m512 terms[TERMS];
            UNROLL for (size_t k = 0; k < TERMS; k++) {
                const int there = all_there || (t < count && start + k < elements);
                const __m512 value = _mm512_set1_ps(there ? vectors[(start + k) * along + t * across] : 0);
                terms[k] = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(value), signs[k]));
            }
            _mm512_store_ps(tables,
                            _mm512_add_ps(_mm512_add_ps(terms[0], terms[1]), _mm512_add_ps(terms[2], terms[3])));
        }
}

FAST static void make_tables(const float *vectors, size_t along, size_t across, size_t elements, size_t count,
                             float *tables)
{
    if (count == TABLES && elements % TERMS == 0)
        fill_tables(vectors, along, across, elements, count, 1, tables);
    else
        fill_tables(vectors, along, across, elements, count, 0, tables);
}

/*
 * Add to the sums of eight tables and 32 columns what the `columns`, whose words are `stride` apart, look up. Not to be
 * inlined: among the constants of its callers the compiler would not keep the sums in registers.
 */
FAST NOINLINE void look_up(const float *tables, size_t groups, const uint32_t *columns, size_t stride,
                           __m512 sum[TABLES][2])
{
    __m512 left_sum[TABLES], right_sum[TABLES];
    UNROLL for (int t = 0; t < TABLES; t++)
        left_sum[t] = sum[t][0], right_sum[t] = sum[t][1];
    for (size_t g = 0; g < groups; columns += stride) {
        __m512i left = _mm512_load_si512(columns), right = _mm512_load_si512(columns + LANES);
        const size_t end = smaller(groups, g + ROWS / TERMS);
        for (; g < end; g++, tables += TABLES * LANES) {
            UNROLL for (int t = 0; t < TABLES; t++) {
                const __m512 table = _mm512_load_ps(tables + t * LANES);
                left_sum[t] = _mm512_add_ps(left_sum[t], _mm512_permutexvar_ps(left, table));
                right_sum[t] = _mm512_add_ps(right_sum[t], _mm512_permutexvar_ps(right, table));
            }
            left = _mm512_srli_epi32(left, TERMS);
            right = _mm512_srli_epi32(right, TERMS);
        }
    }
    UNROLL for (int t = 0; t < TABLES; t++)
        sum[t][0] = left_sum[t], sum[t][1] = right_sum[t];
}

FAST INLINE void load_sums(const float *from, size_t stride, size_t count, uint64_t lanes, __m512 sum[TABLES][2])
{
    UNROLL for (size_t t = 0; t < TABLES; t++)
        for (int v = 0; v < 2; v++)
            sum[t][v] = from && t < count ? _mm512_maskz_loadu_ps((__mmask16)(lanes >> (LANES * v)),
                                                                  from + t * stride + LANES * v)
                                          : _mm512_setzero_ps();
}

FAST INLINE void store_sums(__m512 sum[TABLES][2], size_t count, uint64_t lanes, float *to, size_t stride)
{
    UNROLL for (size_t t = 0; t < TABLES; t++)
        if (t < count) {
            _mm512_mask_storeu_ps(to + t * stride, (__mmask16)lanes, sum[t][0]);
            _mm512_mask_storeu_ps(to + t * stride + LANES, (__mmask16)(lanes >> LANES), sum[t][1]);
        }
}

/* Gradient with respect to eight samples' signs at the columns from `first`: the units' gradients times their signs. */
FAST static void pass_on_samples(const weights_type *weights, matrix_type gradient, size_t sample, size_t first,
                                 matrix_type passed)
{
    enum { CHUNK = GROUPS / 2 * TERMS };
    float tables[GROUPS / 2 * TABLES * LANES] __attribute__((aligned(64)));
    const size_t units = weights->layer.units, features = weights->layer.features, end = smaller(features, first + SPAN);
    const size_t count = smaller(TABLES, gradient.rows - sample);
    for (size_t unit = 0; unit < units; unit += CHUNK) {
        const size_t terms = smaller(CHUNK, units - unit);
        const uint32_t *columns = weights->columns + unit / ROWS * weights->stride;
        make_tables(gradient.data + sample * gradient.stride + unit, 1, gradient.stride, terms, count, tables);
        for (size_t c = first; c < end; c += COLUMNS) {
            const uint64_t lanes = lanes_below(smaller(COLUMNS, features - c));
            float *to = passed.data + sample * passed.stride + c;
            __m512 sum[TABLES][2];
            load_sums(unit ? to : NULL, passed.stride, count, lanes, sum);
            look_up(tables, ceil_divide(terms, TERMS), columns + c, weights->stride, sum);
            store_sums(sum, count, lanes, to, passed.stride);
        }
    }
}

/* passed = gradient W */
static void pass_on(const weights_type *weights, matrix_type gradient, matrix_type passed, size_t threads)
{
    const size_t blocks = ceil_divide(gradient.rows, TABLES);
    const ptrdiff_t items = (ptrdiff_t)(blocks * ceil_divide(weights->layer.features, SPAN));
    (void)threads;
    PRAGMA(omp parallel for schedule(dynamic) num_threads(threads_for(weights, gradient.rows, threads)))
    for (ptrdiff_t item = 0; item < items; item++)
        pass_on_samples(weights, gradient, (size_t)item % blocks * TABLES, (size_t)item / blocks * SPAN, passed);
}

/* Where the gradient of the weights goes: [units][features] in float32 or bfloat16. */
typedef struct {
    void *data;
    int half, streamed;
} result_type;

FAST INLINE void write_gradient(__m512 sum[TABLES][2], size_t count, uint64_t lanes, result_type to, size_t at,
                                size_t stride)
{
    const int whole = lanes == lanes_below(COLUMNS);
    UNROLL for (size_t t = 0; t < TABLES; t++, at += stride) {
        if (t >= count)
            break;
        if (to.half) {
            const __m512i pair = (__m512i)_mm512_cvtne2ps_pbh(sum[t][1], sum[t][0]);
            uint16_t *out = (uint16_t *)to.data + at;
            if (whole && to.streamed)
                _mm512_stream_si512((void *)out, pair);
            else
                _mm512_mask_storeu_epi16(out, (__mmask32)lanes, pair);
            continue;
        }
        float *out = (float *)to.data + at;
        if (whole && to.streamed) {
            _mm512_stream_ps(out, sum[t][0]);
            _mm512_stream_ps(out + LANES, sum[t][1]);
        } else {
            _mm512_mask_storeu_ps(out, (__mmask16)lanes, sum[t][0]);
            _mm512_mask_storeu_ps(out + LANES, (__mmask16)(lanes >> LANES), sum[t][1]);
        }
    }
}

/*
 * Gradient of the weights of eight units: the samples' signs times the units' gradients. `partial` [TABLES][stride]
 * keeps the sums where there are more samples than tables are made for at once.
 */
FAST static void gradient_of_units(const weights_type *weights, matrix_type gradient, const uint32_t *columns,
                                   size_t unit, float *partial, result_type to)
{
    enum { CHUNK = GROUPS * TERMS };
    float tables[GROUPS * TABLES * LANES] __attribute__((aligned(64)));
    const size_t features = weights->layer.features, stride = weights->stride;
    const size_t count = smaller(TABLES, weights->layer.units - unit);
    for (size_t sample = 0; sample < gradient.rows; sample += CHUNK, columns += CHUNK / ROWS * stride) {
        const size_t terms = smaller(CHUNK, gradient.rows - sample), groups = ceil_divide(terms, TERMS);
        const int last = sample + terms == gradient.rows;
        make_tables(gradient.data + sample * gradient.stride + unit, gradient.stride, 1, terms, count, tables);
        for (size_t c = 0; c < features; c += COLUMNS) {
            const uint64_t lanes = lanes_below(smaller(COLUMNS, features - c));
            __m512 sum[TABLES][2];
            load_sums(sample ? partial + c : NULL, stride, TABLES, lanes_below(COLUMNS), sum);
            look_up(tables, groups, columns + c, stride, sum);
            if (last)
                write_gradient(sum, count, lanes, to, unit * features + c, features);
            else
                store_sums(sum, TABLES, lanes_below(COLUMNS), partial + c, stride);
        }
    }
}

/* The gradient of the weights, gradient^T sign(x), for the columns of sign(x). 0 where there is no memory. */
static int weight_gradient(const weights_type *weights, matrix_type gradient, const uint32_t *columns, void *data,
                           int half, size_t threads)
{
    const size_t features = weights->layer.features, row = features * (half ? 2 : 4);
    const int many = threads_for(weights, gradient.rows, threads);
    /* A line that is written past the caches must be a whole one. */
    const int streamed = row * weights->layer.units >= STREAMED && row % 64 == 0 && (uintptr_t)data % 64 == 0;
    const result_type to = {data, half, streamed};
    const ptrdiff_t blocks = (ptrdiff_t)ceil_divide(weights->layer.units, TABLES);
    float *partial = NULL;
    if (gradient.rows > GROUPS * TERMS && !(partial = allocate((size_t)many * TABLES * weights->stride, sizeof *partial)))
        return 0;
    PRAGMA(omp parallel for schedule(dynamic) num_threads(many))
    for (ptrdiff_t block = 0; block < blocks; block++) {
#ifdef _OPENMP
        float *own = partial ? partial + (size_t)omp_get_thread_num() * TABLES * weights->stride : NULL;
#else
        float *own = partial;
#endif
        gradient_of_units(weights, gradient, columns, (size_t)block * TABLES, own, to);
    }
    _mm_sfence();
    release(partial);
    return 1;
}

static void pack_weights(weights_type *weights, const int8_t *signs, size_t threads)
{
    const ptrdiff_t halves = (ptrdiff_t)weights->layer.halves;
    (void)threads;
    PRAGMA(omp parallel for num_threads(threads_for(weights, ROWS, threads)))
    for (ptrdiff_t half = 0; half < halves; half++)
        pack_half(weights, signs, (size_t)half);
}
#endif

/* ---- the shell for Python ---- */

#ifndef METAPLASTIC_CORE_ONLY
#ifdef WITH_X86
/* Matrices are given by their addresses; whoever calls has made sure of types, shapes and sizes. */
typedef struct {
    PyObject_HEAD
    weights_type weights;
} WeightsObject;

static void weights_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    release_weights(&((WeightsObject *)self)->weights);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *weights_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int bytes;
    Py_ssize_t features, units;
    if ((kwargs && PyDict_GET_SIZE(kwargs)) || !PyArg_ParseTuple(args, "pnn", &bytes, &features, &units))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "expected arguments without names");
    if (features < 1 || features > INT32_MAX / 255 || units < 1)
        return PyErr_Format(PyExc_ValueError, "expected from 1 to %d features and at least one unit, got %zd and %zd",
                            INT32_MAX / 255, features, units);
    if (!training_available())
        return PyErr_Format(PyExc_RuntimeError, "expected a processor with AVX-512; use the products of torch");
    WeightsObject *self = (WeightsObject *)type->tp_alloc(type, 0);
    if (self && !make_weights(&self->weights, bytes, (size_t)features, (size_t)units)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static PyObject *done(int enough_memory)
{
    if (!enough_memory)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static matrix_type matrix(unsigned long long address, Py_ssize_t stride, Py_ssize_t rows)
{
    return (matrix_type){(float *)(uintptr_t)address, (size_t)stride, (size_t)rows};
}

static PyObject *weights_pack(PyObject *self, PyObject *args)
{
    unsigned long long signs;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(args, "Kn", &signs, &threads))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pack_weights(&((WeightsObject *)self)->weights, (const int8_t *)(uintptr_t)signs, (size_t)threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *weights_forward(PyObject *self, PyObject *args)
{
    const weights_type *weights = &((WeightsObject *)self)->weights;
    unsigned long long x, columns, y;
    Py_ssize_t x_stride, rows, y_stride, threads;
    int finite, enough;
    float scale, zero;
    if (!PyArg_ParseTuple(args, "KnnKnpffKn", &x, &x_stride, &rows, &y, &y_stride, &finite, &scale, &zero, &columns,
                          &threads))
        return NULL;
    const matrix_type to = matrix(y, y_stride, rows);
    Py_BEGIN_ALLOW_THREADS
    if (weights->layer.bytes)
        enough = forward_bytes(weights, (const uint8_t *)(uintptr_t)x, (size_t)x_stride, scale, zero, to,
                               (size_t)threads);
    else
        enough = forward_signs(weights, matrix(x, x_stride, rows), finite, zero, (uint32_t *)(uintptr_t)columns, to,
                               (size_t)threads);
    Py_END_ALLOW_THREADS
    return done(enough);
}

static PyObject *weights_pass_on(PyObject *self, PyObject *args)
{
    unsigned long long gradient, passed;
    Py_ssize_t gradient_stride, rows, passed_stride, threads;
    if (!PyArg_ParseTuple(args, "KnnKnn", &gradient, &gradient_stride, &rows, &passed, &passed_stride, &threads))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pass_on(&((WeightsObject *)self)->weights, matrix(gradient, gradient_stride, rows),
            matrix(passed, passed_stride, rows), (size_t)threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *weights_gradient(PyObject *self, PyObject *args)
{
    unsigned long long gradient, columns, result;
    Py_ssize_t gradient_stride, rows, threads;
    int half, enough;
    if (!PyArg_ParseTuple(args, "KnnKKpn", &gradient, &gradient_stride, &rows, &columns, &result, &half, &threads))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    enough = weight_gradient(&((WeightsObject *)self)->weights, matrix(gradient, gradient_stride, rows),
                             (const uint32_t *)(uintptr_t)columns, (void *)(uintptr_t)result, half, (size_t)threads);
    Py_END_ALLOW_THREADS
    return done(enough);
}

static PyMethodDef weights_methods[] = {
    {"pack", weights_pack, METH_VARARGS, "pack(signs, threads)"},
    {"forward", weights_forward, METH_VARARGS,
     "forward(x, x_stride, rows, y, y_stride, finite, scale, zero, columns, threads)"},
    {"pass_on", weights_pass_on, METH_VARARGS,
     "pass_on(gradient, gradient_stride, rows, passed, passed_stride, threads)"},
    {"gradient", weights_gradient, METH_VARARGS,
     "gradient(gradient, gradient_stride, rows, columns, result, half, threads)"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot weights_slots[] = {
    {Py_tp_new, weights_new},
    {Py_tp_dealloc, weights_dealloc},
    {Py_tp_methods, weights_methods},
    {Py_tp_doc, "Weights(bytes, features, units): signs of a matrix, packed for the products of training."},
    {0, NULL},
};

static PyType_Spec weights_spec = {
    "metaplastic.native._training.Weights", sizeof(WeightsObject), 0, Py_TPFLAGS_DEFAULT, weights_slots,
};
#endif

static PyObject *available(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
#ifdef WITH_X86
    return PyBool_FromLong(training_available());
#else
    Py_RETURN_FALSE;
#endif
}

static int fill_module(PyObject *module)
{
#ifdef WITH_X86
    __builtin_cpu_init();
    PyObject *type = PyType_FromSpec(&weights_spec);
    if (!type)
        return -1;
    const int failed = PyModule_AddObjectRef(module, "Weights", type);
    Py_DECREF(type);
    return failed;
#else
    (void)module;
    return 0;
#endif
}

static PyMethodDef module_methods[] = {
    {"available", available, METH_NOARGS, "available(): whether this processor has what the products need."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_training", "Products with binary weights, for training.", 0, module_methods,
    module_slots,          NULL,        NULL, NULL,
};

PyMODINIT_FUNC PyInit__training(void) { return PyModuleDef_Init(&module_definition); }
#endif
