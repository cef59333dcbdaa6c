/* Runs every path of the kernel's core on random chains, without Python, against sums computed input by input. */
#define METAPLASTIC_CORE_ONLY
#include "_kernel.c"
#include "../draws.h"
#include <stdio.h>

static int bit(const uint8_t *row, size_t i) { return row[i / 8] >> (i % 8) & 1; }

/* The sums of one layer; `values` are its inputs as numbers, and become the signs that come out. */
static void layer_naively(const uint8_t *weight, size_t features, size_t units, const int32_t *threshold,
                          const uint8_t *flipped, int32_t *values, int32_t *sums)
{
    for (size_t u = 0; u < units; u++) {
        sums[u] = 0;
        for (size_t i = 0; i < features; i++)
            sums[u] += bit(weight + u * ceil_divide(features, 8), i) ? values[i] : -values[i];
    }
    for (size_t u = 0; threshold && u < units; u++)
        values[u] = (sums[u] >= threshold[u]) != (flipped[u] != 0) ? 1 : -1;
}

static void check(const path_type *path, int bytes, size_t rows, size_t threads)
{
    enum { LAYERS = 3, WIDEST = 700 };
    size_t widths[LAYERS + 1];
    for (int i = 0; i <= LAYERS; i++)
        widths[i] = 1 + draw(draw(2) ? 40 : WIDEST);
    const size_t row = bytes ? widths[0] : ceil_divide(widths[0], 8);
    const size_t tables = 1 + draw(3), table = draw((uint32_t)tables);
    uint8_t *weights[LAYERS], *flipped[LAYERS] = {0}, *input = exactly(rows * row);
    int32_t *threshold[LAYERS] = {0}, *output = exactly(rows * widths[LAYERS] * sizeof *output);
    chain_type chain = {path, LAYERS, calloc(LAYERS, sizeof *chain.layers)};
    for (int i = 0; i < LAYERS; i++) {
        const size_t own = i == LAYERS - 1 ? 0 : i ? tables : 1;
        weights[i] = exactly(widths[i + 1] * ceil_divide(widths[i], 8));
        flipped[i] = exactly(own * widths[i + 1]);
        threshold[i] = exactly(own * widths[i + 1] * sizeof **threshold);
        for (size_t u = 0; u < own * widths[i + 1]; u++) {
            flipped[i][u] &= 1;
            threshold[i][u] = (int32_t)draw(41) - 20;
        }
        if (!make_layer(chain.layers + i, path, bytes && !i, widths[i], widths[i + 1], weights[i], own,
                        (const uint8_t *)threshold[i], flipped[i]))
            exit(2);
    }
    if (!forward(&chain, input, rows, table, threads, output))
        exit(2);
    for (size_t n = 0; n < rows; n++) {
        int32_t values[WIDEST + 1], sums[WIDEST + 1];
        for (size_t i = 0; i < widths[0]; i++)
            values[i] = bytes ? input[n * row + i] : bit(input + n * row, i) ? 1 : -1;
        for (int i = 0; i < LAYERS; i++) {
            const size_t from = i == 1 ? table * widths[i + 1] : 0;
            layer_naively(weights[i], widths[i], widths[i + 1], i < LAYERS - 1 ? threshold[i] + from : NULL,
                          flipped[i] + from, values, sums);
        }
        if (memcmp(sums, output + n * widths[LAYERS], widths[LAYERS] * sizeof *sums)) {
            printf("%s: other sums for row %zu of %zu, widths %zu %zu %zu %zu\n", path->name, n, rows, widths[0],
                   widths[1], widths[2], widths[3]);
            exit(1);
        }
    }
    for (int i = 0; i < LAYERS; i++) {
        free(weights[i]);
        free(flipped[i]);
        free(threshold[i]);
    }
    free(input);
    free(output);
    release_chain(&chain);
}

int main(void)
{
    for (size_t p = 0; p < PATH_COUNT; p++) {
        if (!PATHS[p].available())
            continue;
        for (size_t round = 0; round < 40; round++)
            check(PATHS + p, round % 2, draw(draw(4) ? 12 : 150), 1 + draw(2));
        printf("%s ", PATHS[p].name);
    }
    return 0;
}
