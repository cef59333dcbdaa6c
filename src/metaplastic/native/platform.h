/* What compilers and processors offer, by one name each. */
#ifndef METAPLASTIC_PLATFORM_H
#define METAPLASTIC_PLATFORM_H

#ifdef _OPENMP
#include <omp.h>
#ifdef _MSC_VER
#define PRAGMA(text) __pragma(text)
#else
#define PRAGMA(text) _Pragma(#text)
#endif
#else
#define PRAGMA(text)
#endif

#if (defined(__GNUC__) || defined(__clang__)) && !defined(_MSC_VER)
#define INLINE static inline __attribute__((always_inline))
#ifdef __x86_64__
#define WITH_X86
#include <immintrin.h>
#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WITH_NEON
#include <arm_neon.h>
#endif
#else
#define INLINE static
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 8")
#else
#define UNROLL
#endif

#endif
