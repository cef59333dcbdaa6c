/*
 * One pass over a parameter, its gradient and the two moments of Adam: the published metaplastic update, for processors
 * with AVX-512. It is what `MetaplasticAdam` does with the consolidation functions named below; what they divide by and
 * what Adam divides by is divided by once.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "platform.h"
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#ifdef WITH_X86
#define FAST __attribute__((target("avx512f,avx512bw,avx512bf16")))

enum {
    LANES = 16,
    BLOCK = 1 << 14,       /* elements that a thread takes at once; a whole number of lines in every type */
    THREAD_WORK = 1 << 15, /* elements that are worth a thread */
    TINY_AS_ZERO = 0x8040, /* flush what is below the normal numbers, and read it as zero: it takes many times as long */
};

/* Consolidation functions f, and what the `steepness` of a step is. */
typedef enum {
    NONE,           /* 1 */
    TANH_SQUARED,   /* 4 e / (1 + e)^2, e = 2^(-s |W|): s = 2 m log2(e) */
    EXPONENTIAL,    /* 2^(-s |W|): s = m log2(e) */
    INVERSE_SQUARE, /* 1 / (1 + s |W|)^2: s = m */
} function_type;

typedef struct {
    float *weight, *first, *second; /* hidden weight and moments, in place */
    const void *gradient;           /* float32, or bfloat16 where `half` */
    int half;
    int8_t *signs;        /* where the signs of the weight go, or NULL */
    uint16_t *signs_half; /* the same in bfloat16, or NULL */
    size_t count;
    float size, eps, decay, beta1, beta2;
    int function; /* a function_type */
    float steepness;
} step_type;

static int update_available(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512bf16");
}

/* 2^x for x <= 0, to a unit in the last place: a Taylor series within half a unit of the exponent. */
FAST INLINE __m512 power_of_two(__m512 x)
{
    static const float series[] = {1.5252734e-5f, 1.5403530e-4f, 1.3333558e-3f, 9.6181291e-3f,
                                   5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.0f};
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 part = _mm512_sub_ps(x, whole);
    __m512 sum = _mm512_set1_ps(series[0]);
    for (size_t k = 1; k < sizeof series / sizeof *series; k++)
        sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(series[k]));
    return _mm512_scalef_ps(sum, whole);
}

/* Multiply numerator and denominator of a step by those of f, where it is damped. */
FAST INLINE void consolidate(const step_type *step, __m512 weight, __m512 *numerator, __m512 *denominator)
{
    const __mmask16 weakens = _mm512_cmp_ps_mask(_mm512_mul_ps(*numerator, weight), _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 one = _mm512_set1_ps(1);
    const __m512 state = _mm512_mul_ps(_mm512_abs_ps(weight), _mm512_set1_ps(step->steepness));
    __m512 over = one, under = one;
    if (step->function == INVERSE_SQUARE) {
        under = _mm512_add_ps(one, state);
        under = _mm512_mul_ps(under, under);
    } else {
        over = power_of_two(_mm512_sub_ps(_mm512_setzero_ps(), state));
        if (step->function == TANH_SQUARED) {
            under = _mm512_add_ps(one, over);
            over = _mm512_mul_ps(_mm512_set1_ps(4), over);
            under = _mm512_max_ps(_mm512_mul_ps(under, under), over); /* rounding may take f past 1 */
        }
    }
    *numerator = _mm512_mask_mul_ps(*numerator, weakens, *numerator, over);
    *denominator = _mm512_mask_mul_ps(*denominator, weakens, *denominator, under);
}

FAST INLINE __m512 load_gradient(const step_type *step, size_t at, __mmask16 lanes)
{
    if (!step->half)
        return _mm512_maskz_loadu_ps(lanes, (const float *)step->gradient + at);
    const __m256i packed = _mm512_castsi512_si256(
        _mm512_maskz_loadu_epi16(lanes, (const uint16_t *)step->gradient + at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(packed), 16));
}

FAST INLINE void store_signs(const step_type *step, __m512 weight, size_t at, __mmask16 lanes)
{
    const __mmask16 positive = _mm512_cmp_ps_mask(weight, _mm512_setzero_ps(), _CMP_GE_OQ);
    if (step->signs) {
        const __m512i signs = _mm512_mask_set1_epi32(_mm512_set1_epi32(-1), positive, 1);
        _mm512_mask_cvtepi32_storeu_epi8(step->signs + at, lanes, signs);
    }
    if (step->signs_half) {
        const __m512i signs = _mm512_mask_set1_epi32(_mm512_set1_epi32(0xbf80), positive, 0x3f80); /* -1 and 1 */
        _mm512_mask_cvtepi32_storeu_epi16(step->signs_half + at, lanes, signs);
    }
}

FAST INLINE void move_lanes(const step_type *step, size_t at, __mmask16 lanes)
{
    const __m512 beta1 = _mm512_set1_ps(step->beta1), beta2 = _mm512_set1_ps(step->beta2);
    __m512 weight = _mm512_maskz_loadu_ps(lanes, step->weight + at);
    const __m512 slope = _mm512_fmadd_ps(_mm512_set1_ps(step->decay), weight, load_gradient(step, at, lanes));
    const __m512 rest = _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(1), beta2), _mm512_mul_ps(slope, slope));
    __m512 first = _mm512_maskz_loadu_ps(lanes, step->first + at);
    first = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_set1_ps(1), beta1), _mm512_sub_ps(slope, first), first);
    const __m512 second = _mm512_fmadd_ps(beta2, _mm512_maskz_loadu_ps(lanes, step->second + at), rest);
    __m512 numerator = _mm512_mul_ps(_mm512_set1_ps(step->size), first);
    __m512 denominator = _mm512_add_ps(_mm512_sqrt_ps(second), _mm512_set1_ps(step->eps));
    if (step->function != NONE)
        consolidate(step, weight, &numerator, &denominator);
    weight = _mm512_sub_ps(weight, _mm512_div_ps(numerator, denominator));
    _mm512_mask_storeu_ps(step->weight + at, lanes, weight);
    _mm512_mask_storeu_ps(step->first + at, lanes, first);
    _mm512_mask_storeu_ps(step->second + at, lanes, second);
    store_signs(step, weight, at, lanes);
}

FAST static void move_block(const step_type *step, size_t start)
{
    const size_t end = step->count - start < BLOCK ? step->count : start + BLOCK;
    const unsigned int rounding = _mm_getcsr();
    _mm_setcsr(rounding | TINY_AS_ZERO);
    size_t at = start;
    for (; at + LANES <= end; at += LANES)
        move_lanes(step, at, 0xffff);
    if (at < end)
        move_lanes(step, at, (__mmask16)((1u << (end - at)) - 1));
    _mm_setcsr(rounding);
}

static void move(const step_type *step, size_t threads)
{
    const size_t worth = step->count / THREAD_WORK + 1;
    const ptrdiff_t blocks = (ptrdiff_t)((step->count + BLOCK - 1) / BLOCK);
    (void)threads, (void)worth;
    PRAGMA(omp parallel for num_threads((int)(worth < threads ? worth : threads)))
    for (ptrdiff_t block = 0; block < blocks; block++)
        move_block(step, (size_t)block * BLOCK);
}

/* Tensors are given by their addresses; whoever calls has made sure of types and sizes. */
static PyObject *adam(PyObject *module, PyObject *args)
{
    unsigned long long weight, gradient, first, second, signs, signs_half;
    Py_ssize_t count, threads;
    step_type step;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKpKKKKnfffffifn", &weight, &gradient, &step.half, &first, &second, &signs, &signs_half,
                          &count, &step.size, &step.eps, &step.decay, &step.beta1, &step.beta2, &step.function,
                          &step.steepness, &threads))
        return NULL;
    step.weight = (float *)(uintptr_t)weight;
    step.gradient = (const void *)(uintptr_t)gradient;
    step.first = (float *)(uintptr_t)first;
    step.second = (float *)(uintptr_t)second;
    step.signs = (int8_t *)(uintptr_t)signs;
    step.signs_half = (uint16_t *)(uintptr_t)signs_half;
    step.count = (size_t)count;
    Py_BEGIN_ALLOW_THREADS
    move(&step, (size_t)threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}
#endif

static PyObject *available(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
#ifdef WITH_X86
    return PyBool_FromLong(update_available());
#else
    Py_RETURN_FALSE;
#endif
}

static PyMethodDef module_methods[] = {
    {"available", available, METH_NOARGS, "available(): whether this processor has what the pass needs."},
#ifdef WITH_X86
    {"adam", adam, METH_VARARGS,
     "adam(weight, gradient, half, first, second, signs, signs_half, count, size, eps, decay, beta1, beta2, "
     "function, steepness, threads)"},
#endif
    {NULL, NULL, 0, NULL},
};

static int fill_module(PyObject *module)
{
#ifdef WITH_X86
    static const struct {
        const char *name;
        function_type function;
    } functions[] = {{"NONE", NONE}, {"TANH_SQUARED", TANH_SQUARED}, {"EXPONENTIAL", EXPONENTIAL},
                     {"INVERSE_SQUARE", INVERSE_SQUARE}};
    __builtin_cpu_init();
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (PyModule_AddIntConstant(module, functions[i].name, functions[i].function))
            return -1;
#endif
    (void)module;
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_update", "The metaplastic update.", 0, module_methods, module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__update(void) { return PyModuleDef_Init(&module_definition); }
