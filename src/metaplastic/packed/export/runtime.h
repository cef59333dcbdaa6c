/* @TITLE@
 *
 * A binary neural network in C99: this one file, written by metaplastic. Sums are integers and so are comparisons; no
 * floating point comes before the last layer. Nothing is allocated and nothing changes but the memory handed in.
 *
 *     #include "@FILE@"
 *     static bnn_memory memory;
 *     int found = bnn_predict(pixels, 0, &memory);
 *
 * pixels: BNN_INPUTS bytes, @INPUT@.
 * task: selects the tables of thresholds, from 0 to BNN_TASKS - 1; any other gives the class -1.
@TASKS@ *
 * Tables in flash: @FLASH@ bytes. Working memory beside input and stack: @MEMORY@ bytes.
 * Self-test with golden vectors, which names the first layer that differs and is quiet otherwise but for one line:
 *
 *     cc -std=c99 -DBNN_SELF_TEST -x c @FILE@@LIBRARIES@ && ./a.out
 */
#ifndef BNN_H
#define BNN_H

#include <stdint.h>
#include <string.h>
@INCLUDES@
@DEFINES@
#if defined(__AVR__) && !defined(BNN_FLASH)
#include <avr/pgmspace.h>
#define BNN_FLASH PROGMEM
#define BNN_COPY memcpy_P
#endif
#ifndef BNN_FLASH
#define BNN_FLASH       /* put behind every table, for processors whose flash is another address space */
#define BNN_COPY memcpy /* copies from there */
#endif

@CHECKSUMS@
#ifndef BNN_SEE
#define BNN_SEE(layer, unit, sum, bit) ((void)0) /* called with every sum, for those who want to look inside */
#endif

/* Bits between layers: bit k of byte b is output 8 b + k of the layer before; 1 is +1 and 0 is -1. */
typedef struct {
    uint8_t even[BNN_EVEN_BYTES];
    uint8_t odd[BNN_ODD_BYTES];
} bnn_memory;

typedef struct {
    const uint8_t *weight;  /* rows of bits, laid out as above */
    const void *threshold;  /* [tables][units], int16_t or int32_t; 0 compares with the mean of the sample */
    const uint8_t *flipped; /* [tables][(units + 7) / 8] bits; 0 where no comparison is turned round */
    uint32_t inputs;        /* terms of one sum */
    uint32_t units;         /* outputs; of a convolution its channels */
    uint32_t places;        /* outputs of one unit: 1, or height times width behind the pooling */
    uint8_t wide;           /* thresholds are int32_t */
    uint8_t per_task;       /* one table a task instead of one for all */
#if BNN_CONVOLUTIONS
    uint8_t kernel;         /* side in pixels; 0 for a fully connected layer */
    uint8_t padding;        /* zeros on each side */
    uint8_t pool;           /* 0 none, 1 sum of 2 x 2, 2 largest of 2 x 2 */
    uint16_t channels, height, width; /* of the input */
    uint16_t columns;       /* width behind the pooling */
#endif
} bnn_layer;

@TABLES@
static uint8_t bnn_byte(const uint8_t *address)
{
    uint8_t byte;
    BNN_COPY(&byte, address, 1);
    return byte;
}

static uint32_t bnn_ones(uint32_t bits)
{
    bits -= (bits >> 1) & 0x55555555u;
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0fu;
    return (bits * 0x01010101u & 0xffffffffu) >> 24;
}

/* Inputs less twice the places where signs differ. The order of bytes in a word does not matter, and the bits behind
 * the last input are 0 on both sides. */
static int32_t bnn_signs_product(const uint8_t *weight, const uint8_t *signs, uint32_t inputs)
{
    uint32_t bytes = (inputs + 7) / 8, differ = 0, i = 0;
    for (; i + 4 <= bytes; i += 4) {
        uint32_t left, right;
        BNN_COPY(&left, weight + i, 4);
        memcpy(&right, signs + i, 4);
        differ += bnn_ones(left ^ right);
    }
    for (; i < bytes; i++)
        differ += bnn_ones((uint32_t)(bnn_byte(weight + i) ^ signs[i]));
    return (int32_t)inputs - 2 * (int32_t)differ;
}

static int32_t bnn_bytes_product(const uint8_t *weight, const uint8_t *pixels, uint32_t inputs)
{
    int32_t sum = 0;
    uint8_t bits = 0;
    for (uint32_t i = 0; i < inputs; i++, bits = (uint8_t)(bits >> 1)) {
        if ((i & 7) == 0)
            bits = bnn_byte(weight + i / 8);
        sum += (bits & 1) ? (int32_t)pixels[i] : -(int32_t)pixels[i];
    }
    return sum;
}

#if BNN_CONVOLUTIONS
/* Taps outside the image add nothing: padding is neither +1 nor -1. */
static int32_t bnn_taps(const bnn_layer *layer, int bytes, const uint8_t *from, uint32_t unit, int32_t top, int32_t left)
{
    const uint8_t *weight = layer->weight + unit * ((layer->inputs + 7) / 8);
    int32_t sum = 0;
    uint32_t tap = 0;
    for (uint32_t channel = 0; channel < layer->channels; channel++)
        for (int32_t y = top; y < top + layer->kernel; y++)
            for (int32_t x = left; x < left + layer->kernel; x++, tap++) {
                if (y < 0 || y >= layer->height || x < 0 || x >= layer->width)
                    continue;
                uint32_t i = (channel * layer->height + (uint32_t)y) * layer->width + (uint32_t)x;
                int32_t value = bytes ? from[i] : 2 * (from[i / 8] >> (i & 7) & 1) - 1;
                sum += (bnn_byte(weight + tap / 8) >> (tap & 7) & 1) ? value : -value;
            }
    return sum;
}

static int32_t bnn_convolution(const bnn_layer *layer, int bytes, const uint8_t *from, uint32_t unit, uint32_t place)
{
    int32_t row = (int32_t)(place / layer->columns), column = (int32_t)(place % layer->columns), found = 0;
    if (layer->pool == 0)
        return bnn_taps(layer, bytes, from, unit, row - layer->padding, column - layer->padding);
    for (int32_t i = 0; i < 4; i++) {
        int32_t top = 2 * row + i / 2 - layer->padding, left = 2 * column + i % 2 - layer->padding;
        int32_t sum = bnn_taps(layer, bytes, from, unit, top, left);
        if (layer->pool == 1)
            found += sum;
        else if (i == 0 || sum > found)
            found = sum;
    }
    return found;
}
#endif

static int32_t bnn_sum(const bnn_layer *layer, int bytes, const uint8_t *from, uint32_t output)
{
    const uint8_t *row = layer->weight + output * ((layer->inputs + 7) / 8);
#if BNN_CONVOLUTIONS
    if (layer->kernel)
        return bnn_convolution(layer, bytes, from, output / layer->places, output % layer->places);
#endif
    return bytes ? bnn_bytes_product(row, from, layer->inputs) : bnn_signs_product(row, from, layer->inputs);
}

static uint8_t bnn_reaches(const bnn_layer *layer, unsigned task, uint32_t unit, int32_t sum)
{
    uint32_t table = layer->per_task ? task : 0, at = table * layer->units + unit;
    uint8_t flipped = 0, bit;
    if (layer->wide) {
        int32_t threshold;
        BNN_COPY(&threshold, (const int32_t *)layer->threshold + at, sizeof threshold);
        bit = sum >= threshold;
    } else {
        int16_t threshold;
        BNN_COPY(&threshold, (const int16_t *)layer->threshold + at, sizeof threshold);
        bit = sum >= threshold;
    }
    if (layer->flipped)
        flipped = bnn_byte(layer->flipped + table * ((layer->units + 7) / 8) + unit / 8) >> (unit & 7) & 1;
    return bit ^ flipped;
}

/* Sums of a sample are made twice where their mean decides: that takes time, where keeping them would take memory. */
static void bnn_fire(unsigned index, int bytes, const uint8_t *from, unsigned task, uint8_t *to)
{
    const bnn_layer *layer = &bnn_layers[index];
    uint32_t outputs = layer->units * layer->places;
#if BNN_SAMPLE_MEANS
    int64_t total = 0;
    if (!layer->threshold)
        for (uint32_t output = 0; output < outputs; output++)
            total += bnn_sum(layer, bytes, from, output);
#endif
    for (uint32_t output = 0; output < outputs; output++) {
        int32_t sum = bnn_sum(layer, bytes, from, output);
#if BNN_SAMPLE_MEANS
        uint8_t bit = layer->threshold ? bnn_reaches(layer, task, output / layer->places, sum)
                                       : (int64_t)outputs * sum >= total;
#else
        uint8_t bit = bnn_reaches(layer, task, output / layer->places, sum);
#endif
        if ((output & 7) == 0)
            to[output / 8] = 0;
        to[output / 8] = (uint8_t)(to[output / 8] | bit << (output & 7));
        BNN_SEE(index, output, sum, bit);
    }
}

/* Bits, or pixels where there is one layer only, that the last layer sees. */
static const uint8_t *bnn_hidden(const uint8_t *pixels, unsigned task, bnn_memory *memory)
{
    const uint8_t *from = pixels;
#if !BNN_BYTES
    for (uint32_t i = 0; i < BNN_INPUTS; i++) {
        if ((i & 7) == 0)
            memory->odd[i / 8] = 0;
        memory->odd[i / 8] = (uint8_t)(memory->odd[i / 8] | (pixels[i] >= 1) << (i & 7));
    }
    from = memory->odd;
#endif
    for (unsigned index = 0; index + 1 < BNN_LAYERS; index++) {
        uint8_t *to = index & 1 ? memory->odd : memory->even;
        bnn_fire(index, BNN_BYTES && index == 0, from, task, to);
        from = to;
    }
    return from;
}

/* A product is rounded before something is added to it: where a processor has both in one instruction, or computes with
 * more digits than it keeps, the product is stored first. */
#if defined(__FP_FAST_FMAF) || defined(__FP_FAST_FMA) || !defined(__FLT_EVAL_METHOD__) || __FLT_EVAL_METHOD__ != 0
#define BNN_ROUNDED volatile
#else
#define BNN_ROUNDED
#endif

@READOUT@
/* Class with the largest logit, the first of equals; -1 for a task that does not exist. `logits` has room for
 * BNN_CLASSES numbers, or is 0. */
static inline int bnn_logits(const uint8_t *pixels, unsigned task, bnn_memory *memory, float *logits)
{
    const bnn_layer *last = &bnn_layers[BNN_LAYERS - 1];
    int best = 0, bytes = BNN_BYTES && BNN_LAYERS == 1;
    float largest = 0;
    if (task >= BNN_TASKS)
        return -1;
    const uint8_t *from = bnn_hidden(pixels, task, memory);
@MOMENTS@    for (uint32_t unit = 0; unit < BNN_CLASSES; unit++) {
        int32_t sum = bnn_sum(last, bytes, from, unit);
        float logit = bnn_logit(@LOGIT@);
        BNN_SEE(BNN_LAYERS - 1, unit, sum, 0);
        if (unit == 0 || logit > largest) {
            largest = logit;
            best = (int)unit;
        }
        if (logits)
            logits[unit] = logit;
    }
    return best;
}

static inline int bnn_predict(const uint8_t *pixels, unsigned task, bnn_memory *memory)
{
    return bnn_logits(pixels, task, memory, 0);
}

@SELF_TEST@
#endif
