/*
 * Products of bits or bytes with signs, in integers: what packed networks and training multiply by. Portable C99; wider
 * paths are chosen at run time by what the processor has, and give the same integers.
 *
 * Units are kept in blocks of 64, each of two halves. Within a half the words of its 32 units lie side by side, step by
 * step along the inputs: a register of sums holds different units, is never added up across, and its comparison gives
 * the bits of the next layer as they are needed. A step is a word of 64 inputs where these are bits, and of 32 where
 * they are bytes. Bytes are multiplied by ones and zeros, h = 2 p b - sum p, four at a time: bit j of each byte of a
 * word of weights, which is that of input 8 i + j. So the bytes of a step are put into the order 4 j + i before.
 *
 * For a single row of bytes there may be a faster way: the 32 sums of five bytes with ones and zeros are made once, kept
 * in one register, and looked up for 32 units at a time by five bits of each unit's word.
 */
#ifndef METAPLASTIC_SIGNS_H
#define METAPLASTIC_SIGNS_H

#include "platform.h"
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 64,           /* units whose bits make one word */
    HALF = 32,            /* units whose sums are computed together */
    TILE = 8,             /* samples whose sums are computed together, at most */
    FLUSH = 31,           /* counts <= 8 that can be added up in a byte */
    FLUSH_PAIRS = 8,      /* steps in which sums of two bytes can be added up in 15 bits */
    ROW_LIMIT = 1 << 19,  /* inputs of which an eighth, times 255 and 128, fits into 31 bits */
    FIVE = 5,             /* bytes whose sums with ones and zeros make one table */
    GROUPS_A_WORD = 3,    /* groups of five whose bits make one word */
    FIFTEEN = 15,         /* bytes whose bits make one word of those that are looked up */
    FLUSH_WORDS = 17,     /* words in which sums of 15 bytes can be added up in 16 bits */
    LOOKUP_LIMIT = 1920,  /* bytes of a row whose tables stay in the fastest cache */
};

typedef struct {
    int bytes; /* whether inputs are bytes; else bits */
    size_t features, units;
    size_t steps, stride;       /* steps along the inputs; words in a row of inputs */
    size_t blocks, halves;      /* blocks of units, and the halves of blocks that have units */
    size_t half_bytes;          /* bytes of weights in a half */
    void *weight;               /* [halves][steps][HALF], uint64_t, or uint32_t for bytes */
    size_t words;               /* words of fifteen in a row */
    uint16_t *fifteens;         /* [halves][words][HALF], fifteen inputs a word; NULL where nothing is looked up */
    size_t tables;              /* tables of thresholds; 0 in the last layer, which gives sums */
    int32_t *threshold;         /* [tables][halves * HALF] */
    uint32_t *flipped;          /* [tables][halves] */
} layer_type;

/*
 * Sums [count][HALF] of `count` samples, `layer->stride` words apart, and the 32 units whose `weight` is given. Behind
 * the bytes of a row stands their sum, in its last word.
 */
typedef void product_function(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count,
                              int32_t *sums);
/* Tables [3 * layer->words][HALF] of the sums of each five of a row's bytes. */
typedef void tables_function(const layer_type *layer, const uint8_t *row, uint16_t *tables);
/* Sums [HALF] of a row of bytes whose sum is `total` and the 32 units whose words of fifteen are given. */
typedef void lookup_function(const layer_type *layer, const uint16_t *words, const uint16_t *tables, int32_t total,
                             int32_t *sums);
/* Bits [sum >= threshold] of the 32 units of a half. */
typedef uint32_t compare_function(const int32_t *sums, const int32_t *threshold);

typedef struct {
    const char *name;
    int (*available)(void);
    product_function *signs; /* of bits of both: features less twice the number of bits that differ */
    product_function *bytes; /* of bytes with signs */
    compare_function *compare;
    tables_function *tables; /* with `look_up`, the faster way for a single row of bytes; NULL where there is none */
    lookup_function *look_up;
} path_type;

/* ---- memory ---- */

static size_t ceil_divide(size_t number, size_t by) { return number / by + (number % by != 0); }

/* Zeros aligned to 64 bytes; what was allocated is kept in the word before them. NULL where there is no memory. */
static void *allocate(size_t count, size_t size)
{
    if (count > (SIZE_MAX - 128) / size)
        return NULL;
    char *raw = calloc(count * size + 128, 1);
    if (!raw)
        return NULL;
    char *aligned = raw + 128 - (uintptr_t)raw % 64;
    memcpy(aligned - sizeof raw, &raw, sizeof raw);
    return aligned;
}

static void release(void *aligned)
{
    if (aligned) {
        void *raw;
        memcpy(&raw, (char *)aligned - sizeof raw, sizeof raw);
        free(raw);
    }
}

/* ---- plain ---- */

static int always(void) { return 1; }

static void signs_plain(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count, int32_t *sums)
{
    const uint64_t *words = weight;
    for (size_t n = 0; n < count; n++, rows += layer->stride, sums += HALF) {
        for (int u = 0; u < HALF; u++)
            sums[u] = (int32_t)layer->features;
        for (size_t start = 0; start < layer->steps; start += FLUSH) {
            size_t end = layer->steps - start < FLUSH ? layer->steps : start + FLUSH;
            uint64_t counts[HALF] = {0}; /* eight counts, one a byte */
            for (size_t s = start; s < end; s++)
                for (int u = 0; u < HALF; u++) {
                    uint64_t x = words[s * HALF + u] ^ rows[s];
                    x -= (x >> 1) & UINT64_C(0x5555555555555555);
                    x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
                    counts[u] += (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
                }
            for (int u = 0; u < HALF; u++) {
                uint64_t pairs = (counts[u] & UINT64_C(0x00ff00ff00ff00ff)) +
                                 ((counts[u] >> 8) & UINT64_C(0x00ff00ff00ff00ff));
                sums[u] -= 2 * (int32_t)((pairs * UINT64_C(0x0001000100010001)) >> 48);
            }
        }
    }
}

static int32_t row_total(const layer_type *layer, const uint64_t *row) { return (int32_t)row[layer->stride - 1]; }

static void bytes_plain(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count, int32_t *sums)
{
    const uint32_t *words = weight;
    for (size_t n = 0; n < count; n++, rows += layer->stride, sums += HALF) {
        const uint8_t *quad = (const uint8_t *)rows;
        for (int u = 0; u < HALF; u++)
            sums[u] = -row_total(layer, rows);
        for (size_t s = 0; s < layer->steps; s++)
            for (int j = 0; j < 8; j++, quad += 4) {
                int32_t table[16] = {0}; /* twice the sum of the four for each pattern of bits */
                for (int i = 0; i < 4; i++)
                    for (int pattern = 0; pattern < 1 << i; pattern++)
                        table[pattern + (1 << i)] = table[pattern] + 2 * quad[i];
                for (int u = 0; u < HALF; u++) {
                    const uint32_t bits = words[s * HALF + u] >> j & UINT32_C(0x01010101);
                    sums[u] += table[(bits * UINT32_C(0x01020408)) >> 24 & 15];
                }
            }
    }
}

static uint32_t compare_plain(const int32_t *sums, const int32_t *threshold)
{
    uint32_t bits = 0;
    for (int u = 0; u < HALF; u++)
        bits |= (uint32_t)(sums[u] >= threshold[u]) << u;
    return bits;
}

/* ---- AVX-512 ---- */

#ifdef WITH_X86
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vpopcntdq,avx512vnni")))

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
}

AVX512 INLINE void signs_tile_avx512(const layer_type *layer, const uint64_t *weight, const uint64_t *rows,
                                     const int count, int32_t *sums)
{
    const __m512i features = _mm512_set1_epi64((long long)layer->features);
    __m512i sum[2][4];
    for (int n = 0; n < count; n++)
        for (int v = 0; v < 4; v++)
            sum[n][v] = _mm512_setzero_si512();
    for (size_t s = 0; s < layer->steps; s++, weight += HALF) {
        UNROLL for (int v = 0; v < 4; v++) {
            const __m512i signs = _mm512_load_si512(weight + 8 * v);
            for (int n = 0; n < count; n++) {
                const __m512i input = _mm512_set1_epi64((long long)rows[n * layer->stride + s]);
                sum[n][v] = _mm512_add_epi64(sum[n][v], _mm512_popcnt_epi64(_mm512_xor_si512(signs, input)));
            }
        }
    }
    for (int n = 0; n < count; n++)
        for (int v = 0; v < 4; v++) {
            const __m512i sums_wide = _mm512_sub_epi64(features, _mm512_slli_epi64(sum[n][v], 1));
            _mm256_storeu_si256((__m256i *)(sums + n * HALF + 8 * v), _mm512_cvtepi64_epi32(sums_wide));
        }
}

AVX512 static void signs_avx512(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count,
                                int32_t *sums)
{
    for (; count >= 2; count -= 2, rows += 2 * layer->stride, sums += 2 * HALF)
        signs_tile_avx512(layer, weight, rows, 2, sums);
    if (count)
        signs_tile_avx512(layer, weight, rows, 1, sums);
}

AVX512 INLINE __m512i quad_avx512(const uint64_t *row, size_t step, int j)
{
    int32_t quad;
    memcpy(&quad, (const uint8_t *)row + 32 * step + 4 * j, sizeof quad);
    return _mm512_set1_epi32(quad);
}

AVX512 INLINE __m512i from_total_avx512(__m512i sum, int32_t total)
{
    return _mm512_sub_epi32(_mm512_slli_epi32(sum, 1), _mm512_set1_epi32(total));
}

AVX512 INLINE void bytes_tile_avx512(const layer_type *layer, const uint32_t *weight, const uint64_t *rows,
                                     const int count, int32_t *sums)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum[TILE][2];
    for (int n = 0; n < count; n++)
        sum[n][0] = sum[n][1] = _mm512_setzero_si512();
    for (size_t s = 0; s < layer->steps; s++, weight += HALF) {
        __m512i left = _mm512_load_si512(weight), right = _mm512_load_si512(weight + 16);
        UNROLL for (int j = 0; j < 8; j++) {
            const __m512i left_bits = _mm512_and_si512(left, ones), right_bits = _mm512_and_si512(right, ones);
            for (int n = 0; n < count; n++) {
                const __m512i input = quad_avx512(rows + n * layer->stride, s, j);
                sum[n][0] = _mm512_dpbusd_epi32(sum[n][0], input, left_bits);
                sum[n][1] = _mm512_dpbusd_epi32(sum[n][1], input, right_bits);
            }
            left = _mm512_srli_epi32(left, 1);
            right = _mm512_srli_epi32(right, 1);
        }
    }
    for (int n = 0; n < count; n++)
        for (int v = 0; v < 2; v++)
            _mm512_storeu_si512(sums + n * HALF + 16 * v,
                                from_total_avx512(sum[n][v], row_total(layer, rows + n * layer->stride)));
}

/*
 * Sums of 16 units for one sample, in eight registers: a single one would wait for itself. Bits are left where they
 * are: the register of bit j has 2^j times its share, and that of the highest, which is a sign, has it negative.
 */
AVX512 INLINE void bytes_row_avx512(const layer_type *layer, const uint32_t *weight, const uint64_t *row, int32_t *sums)
{
    __m512i sum[8];
    for (int j = 0; j < 8; j++)
        sum[j] = _mm512_setzero_si512();
    for (size_t s = 0; s < layer->steps; s++, weight += HALF) {
        const __m512i word = _mm512_load_si512(weight);
        UNROLL for (int j = 0; j < 8; j++) {
            const __m512i bits = _mm512_and_si512(word, _mm512_set1_epi8((char)(1 << j)));
            sum[j] = _mm512_dpbusd_epi32(sum[j], quad_avx512(row, s, j), bits);
        }
    }
    __m512i all = _mm512_sub_epi32(_mm512_setzero_si512(), sum[7]);
    for (int j = 6; j >= 0; j--)
        all = _mm512_add_epi32(_mm512_srai_epi32(all, 1), sum[j]);
    _mm512_storeu_si512(sums, from_total_avx512(all, row_total(layer, row)));
}

AVX512 static void bytes_avx512(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count,
                                int32_t *sums)
{
    const uint32_t *words = weight;
    for (; count >= TILE; count -= TILE, rows += TILE * layer->stride, sums += TILE * HALF)
        bytes_tile_avx512(layer, words, rows, TILE, sums);
    for (; count >= 4; count -= 4, rows += 4 * layer->stride, sums += 4 * HALF)
        bytes_tile_avx512(layer, words, rows, 4, sums);
    for (; count; count--, rows += layer->stride, sums += HALF)
        if (layer->features > ROW_LIMIT)
            bytes_tile_avx512(layer, words, rows, 1, sums);
        else
            for (int u = 0; u < HALF; u += 16)
                bytes_row_avx512(layer, words + u, rows, sums + u);
}

AVX512 static void tables_avx512(const layer_type *layer, const uint8_t *row, uint16_t *tables)
{
    static const uint32_t with[FIVE] = {0xaaaaaaaa, 0xcccccccc, 0xf0f0f0f0, 0xff00ff00, 0xffff0000};
    for (size_t start = 0; start < layer->words * FIFTEEN; start += FIVE, tables += HALF) {
        __m512i sum = _mm512_setzero_si512();
        UNROLL for (size_t k = 0; k < FIVE; k++) {
            const short byte = start + k < layer->features ? row[start + k] : 0;
            sum = _mm512_mask_add_epi16(sum, with[k], sum, _mm512_set1_epi16(byte));
        }
        _mm512_store_si512(tables, sum);
    }
}

AVX512 static void look_up_avx512(const layer_type *layer, const uint16_t *words, const uint16_t *tables, int32_t total,
                                  int32_t *sums)
{
    __m512i left = _mm512_setzero_si512(), right = _mm512_setzero_si512();
    for (size_t start = 0; start < layer->words; start += FLUSH_WORDS) {
        const size_t end = layer->words - start < FLUSH_WORDS ? layer->words : start + FLUSH_WORDS;
        __m512i short_sums = _mm512_setzero_si512();
        for (size_t w = start; w < end; w++, words += HALF) {
            __m512i bits = _mm512_load_si512(words);
            UNROLL for (int g = 0; g < GROUPS_A_WORD; g++, tables += HALF) {
                short_sums = _mm512_add_epi16(short_sums, _mm512_permutexvar_epi16(bits, _mm512_load_si512(tables)));
                bits = _mm512_srli_epi16(bits, FIVE);
            }
        }
        left = _mm512_add_epi32(left, _mm512_cvtepu16_epi32(_mm512_castsi512_si256(short_sums)));
        right = _mm512_add_epi32(right, _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(short_sums, 1)));
    }
    _mm512_storeu_si512(sums, from_total_avx512(left, total));
    _mm512_storeu_si512(sums + 16, from_total_avx512(right, total));
}

AVX512 static uint32_t compare_avx512(const int32_t *sums, const int32_t *threshold)
{
    const __mmask16 low = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums), _mm512_loadu_si512(threshold));
    const __mmask16 high = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + 16), _mm512_loadu_si512(threshold + 16));
    return low | (uint32_t)high << 16;
}

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2")))

static int has_avx2(void) { return __builtin_cpu_supports("avx2"); }

/* Bits set in every byte, from a table of those in four bits. */
AVX2 INLINE __m256i count_bytes_avx2(__m256i x)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                           2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
}

/* Sums of 16 units; each register has four of them in 64 bits. */
AVX2 INLINE void signs_tile_avx2(const layer_type *layer, const uint64_t *weight, const uint64_t *rows, const int count,
                                 int32_t *sums)
{
    __m256i total[2][4];
    for (int n = 0; n < count; n++)
        for (int v = 0; v < 4; v++)
            total[n][v] = _mm256_setzero_si256();
    for (size_t start = 0; start < layer->steps; start += FLUSH) {
        const size_t end = layer->steps - start < FLUSH ? layer->steps : start + FLUSH;
        __m256i counts[2][4];
        for (int n = 0; n < count; n++)
            for (int v = 0; v < 4; v++)
                counts[n][v] = _mm256_setzero_si256();
        for (size_t s = start; s < end; s++)
            for (int v = 0; v < 4; v++) {
                const __m256i signs = _mm256_load_si256((const __m256i *)(weight + s * HALF) + v);
                for (int n = 0; n < count; n++) {
                    const __m256i input = _mm256_set1_epi64x((long long)rows[n * layer->stride + s]);
                    counts[n][v] = _mm256_add_epi8(counts[n][v], count_bytes_avx2(_mm256_xor_si256(signs, input)));
                }
            }
        for (int n = 0; n < count; n++)
            for (int v = 0; v < 4; v++)
                total[n][v] = _mm256_add_epi64(total[n][v], _mm256_sad_epu8(counts[n][v], _mm256_setzero_si256()));
    }
    const __m256i features = _mm256_set1_epi64x((long long)layer->features);
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    for (int n = 0; n < count; n++)
        for (int v = 0; v < 4; v++) {
            const __m256i sum = _mm256_sub_epi64(features, _mm256_slli_epi64(total[n][v], 1));
            _mm_storeu_si128((__m128i *)(sums + n * HALF) + v,
                             _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(sum, even)));
        }
}

AVX2 static void signs_avx2(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count,
                            int32_t *sums)
{
    const uint64_t *words = weight;
    for (; count >= 2; count -= 2, rows += 2 * layer->stride, sums += 2 * HALF)
        for (int u = 0; u < HALF; u += 16)
            signs_tile_avx2(layer, words + u, rows, 2, sums + u);
    if (count)
        for (int u = 0; u < HALF; u += 16)
            signs_tile_avx2(layer, words + u, rows, 1, sums + u);
}

/* Sums of eight units, one in each 32 bits. */
AVX2 INLINE void bytes_tile_avx2(const layer_type *layer, const uint32_t *weight, const uint64_t *rows, const int count,
                                 int32_t *sums)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i total[4];
    for (int n = 0; n < count; n++)
        total[n] = _mm256_setzero_si256();
    for (size_t start = 0; start < layer->steps; start += FLUSH_PAIRS) {
        const size_t end = layer->steps - start < FLUSH_PAIRS ? layer->steps : start + FLUSH_PAIRS;
        __m256i pairs[4];
        for (int n = 0; n < count; n++)
            pairs[n] = _mm256_setzero_si256();
        for (size_t s = start; s < end; s++) {
            __m256i word = _mm256_load_si256((const __m256i *)(weight + s * HALF));
            UNROLL for (int j = 0; j < 8; j++, word = _mm256_srli_epi32(word, 1)) {
                const __m256i bits = _mm256_and_si256(word, ones);
                for (int n = 0; n < count; n++) {
                    int32_t quad;
                    memcpy(&quad, (const uint8_t *)(rows + n * layer->stride) + 32 * s + 4 * j, sizeof quad);
                    pairs[n] = _mm256_add_epi16(pairs[n], _mm256_maddubs_epi16(_mm256_set1_epi32(quad), bits));
                }
            }
        }
        for (int n = 0; n < count; n++)
            total[n] = _mm256_add_epi32(total[n], _mm256_madd_epi16(pairs[n], _mm256_set1_epi16(2)));
    }
    for (int n = 0; n < count; n++) {
        const __m256i of_row = _mm256_set1_epi32(row_total(layer, rows + n * layer->stride));
        _mm256_storeu_si256((__m256i *)(sums + n * HALF), _mm256_sub_epi32(total[n], of_row));
    }
}

AVX2 static void bytes_avx2(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count,
                            int32_t *sums)
{
    const uint32_t *words = weight;
    for (; count >= 4; count -= 4, rows += 4 * layer->stride, sums += 4 * HALF)
        for (int u = 0; u < HALF; u += 8)
            bytes_tile_avx2(layer, words + u, rows, 4, sums + u);
    for (; count; count--, rows += layer->stride, sums += HALF)
        for (int u = 0; u < HALF; u += 8)
            bytes_tile_avx2(layer, words + u, rows, 1, sums + u);
}

AVX2 static uint32_t compare_avx2(const int32_t *sums, const int32_t *threshold)
{
    uint32_t below = 0;
    for (int v = 0; v < 4; v++) {
        const __m256i sum = _mm256_loadu_si256((const __m256i *)(sums + 8 * v));
        const __m256i limit = _mm256_loadu_si256((const __m256i *)(threshold + 8 * v));
        const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, sum)));
        below |= (uint32_t)mask << (8 * v);
    }
    return ~below;
}
#endif

/* ---- NEON ---- */

#ifdef WITH_NEON
/* Sums of 16 units; each register has two of them in 64 bits. */
INLINE void signs_tile_neon(const layer_type *layer, const uint64_t *weight, const uint64_t *row, int32_t *sums)
{
    uint64x2_t total[8];
    for (int v = 0; v < 8; v++)
        total[v] = vdupq_n_u64(0);
    for (size_t start = 0; start < layer->steps; start += FLUSH) {
        const size_t end = layer->steps - start < FLUSH ? layer->steps : start + FLUSH;
        uint8x16_t counts[8];
        for (int v = 0; v < 8; v++)
            counts[v] = vdupq_n_u8(0);
        for (size_t s = start; s < end; s++) {
            const uint64x2_t input = vdupq_n_u64(row[s]);
            for (int v = 0; v < 8; v++) {
                const uint64x2_t differ = veorq_u64(vld1q_u64(weight + s * HALF + 2 * v), input);
                counts[v] = vaddq_u8(counts[v], vcntq_u8(vreinterpretq_u8_u64(differ)));
            }
        }
        for (int v = 0; v < 8; v++)
            total[v] = vpadalq_u32(total[v], vpaddlq_u16(vpaddlq_u8(counts[v])));
    }
    for (int v = 0; v < 8; v++)
        vst1_s32(sums + 2 * v, vsub_s32(vdup_n_s32((int32_t)layer->features),
                                        vshl_n_s32(vreinterpret_s32_u32(vmovn_u64(total[v])), 1)));
}

static void signs_neon(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count,
                       int32_t *sums)
{
    const uint64_t *words = weight;
    for (; count; count--, rows += layer->stride, sums += HALF)
        for (int u = 0; u < HALF; u += 16)
            signs_tile_neon(layer, words + u, rows, sums + u);
}

/* Sums of four units, one in each 32 bits. */
INLINE void bytes_tile_neon(const layer_type *layer, const uint32_t *weight, const uint64_t *rows, const int count,
                            int32_t *sums)
{
    uint32x4_t total[4];
    for (int n = 0; n < count; n++)
        total[n] = vdupq_n_u32(0);
    for (size_t start = 0; start < layer->steps; start += FLUSH_PAIRS) {
        const size_t end = layer->steps - start < FLUSH_PAIRS ? layer->steps : start + FLUSH_PAIRS;
        uint16x8_t pairs[4];
        for (int n = 0; n < count; n++)
            pairs[n] = vdupq_n_u16(0);
        for (size_t s = start; s < end; s++) {
            const uint8x16_t word = vreinterpretq_u8_u32(vld1q_u32(weight + s * HALF));
            UNROLL for (int j = 0; j < 8; j++) {
                const uint8x16_t bits = vtstq_u8(word, vdupq_n_u8((uint8_t)(1 << j)));
                for (int n = 0; n < count; n++) {
                    uint32_t quad;
                    memcpy(&quad, (const uint8_t *)(rows + n * layer->stride) + 32 * s + 4 * j, sizeof quad);
                    pairs[n] = vpadalq_u8(pairs[n], vandq_u8(bits, vreinterpretq_u8_u32(vdupq_n_u32(quad))));
                }
            }
        }
        for (int n = 0; n < count; n++)
            total[n] = vpadalq_u16(total[n], pairs[n]);
    }
    for (int n = 0; n < count; n++) {
        const int32x4_t of_row = vdupq_n_s32(row_total(layer, rows + n * layer->stride));
        vst1q_s32(sums + n * HALF, vsubq_s32(vshlq_n_s32(vreinterpretq_s32_u32(total[n]), 1), of_row));
    }
}

static void bytes_neon(const layer_type *layer, const void *weight, const uint64_t *rows, size_t count, int32_t *sums)
{
    const uint32_t *words = weight;
    for (; count >= 4; count -= 4, rows += 4 * layer->stride, sums += 4 * HALF)
        for (int u = 0; u < HALF; u += 4)
            bytes_tile_neon(layer, words + u, rows, 4, sums + u);
    for (; count; count--, rows += layer->stride, sums += HALF)
        for (int u = 0; u < HALF; u += 4)
            bytes_tile_neon(layer, words + u, rows, 1, sums + u);
}

static uint32_t compare_neon(const int32_t *sums, const int32_t *threshold)
{
    static const uint32_t powers[4] = {1, 2, 4, 8};
    const uint32x4_t bits = vld1q_u32(powers);
    uint32_t result = 0;
    for (int v = 0; v < 8; v++) {
        const uint32x4_t reached = vcgeq_s32(vld1q_s32(sums + 4 * v), vld1q_s32(threshold + 4 * v));
        result |= vaddvq_u32(vandq_u32(reached, bits)) << (4 * v);
    }
    return result;
}
#endif

/* ---- paths, fastest first ---- */

static const path_type PATHS[] = {
#ifdef WITH_X86
    {"avx512", has_avx512, signs_avx512, bytes_avx512, compare_avx512, tables_avx512, look_up_avx512},
    {"avx2", has_avx2, signs_avx2, bytes_avx2, compare_avx2, NULL, NULL},
#endif
#ifdef WITH_NEON
    {"neon", always, signs_neon, bytes_neon, compare_neon, NULL, NULL},
#endif
    {"plain", always, signs_plain, bytes_plain, compare_plain, NULL, NULL},
};
static const size_t PATH_COUNT = sizeof PATHS / sizeof *PATHS;

/* ---- shapes ---- */

/* Set the shape of a layer, and allocate weights of zeros: all -1. 0 where there is no memory. */
static int shape_layer(layer_type *layer, int bytes, size_t features, size_t units)
{
    layer->bytes = bytes;
    layer->features = features;
    layer->units = units;
    layer->steps = ceil_divide(features, bytes ? 32 : 64);
    layer->stride = bytes ? 4 * layer->steps + 1 : layer->steps;
    layer->blocks = ceil_divide(units, BLOCK);
    layer->halves = ceil_divide(units, HALF);
    layer->half_bytes = layer->steps * HALF * (bytes ? sizeof(uint32_t) : sizeof(uint64_t));
    layer->weight = allocate(layer->halves, layer->half_bytes);
    return layer->weight != NULL;
}

/* The bytes of each step in their order, zeros behind the last, and their sum. */
static void load_bytes(const layer_type *layer, const uint8_t *input, uint64_t *row)
{
    uint8_t *ordered = (uint8_t *)row;
    uint64_t total = 0;
    for (size_t start = 0; start < layer->features; start += 32, ordered += 32) {
        uint8_t step[32] = {0};
        memcpy(step, input + start, layer->features - start < 32 ? layer->features - start : 32);
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 4; i++) {
                ordered[4 * j + i] = step[8 * i + j];
                total += step[8 * i + j];
            }
    }
    row[layer->stride - 1] = total;
}

#endif
