/* Runs the products of training on random shapes, without Python, against sums computed one by one. */
#define METAPLASTIC_CORE_ONLY
#include "_training.c"
#include "../draws.h"
#include <math.h>
#include <stdio.h>

static float *numbers(size_t count)
{
    float *values = exactly(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)draw(2000) / 1000.0f - 1.0f;
    return values;
}

static void expect(const char *what, double got, double expected, double error)
{
    if (fabs(got - expected) <= error)
        return;
    printf("%s: expected %g, got %g\n", what, expected, got);
    exit(1);
}

static float from_half(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static void check_signs(size_t features, size_t units, size_t rows, size_t threads)
{
    weights_type weights;
    if (!make_weights(&weights, 0, features, units))
        exit(2);
    int8_t *signs = exactly(features * units);
    for (size_t i = 0; i < features * units; i++)
        signs[i] = draw(2) ? 1 : -1;
    pack_weights(&weights, signs, threads);
    float *x = numbers(rows * features), *y = numbers(rows * units), *gradient = numbers(rows * units);
    float *passed = numbers(rows * features), *result = numbers(units * features);
    uint16_t *half = exactly(units * features * sizeof *half);
    uint32_t *columns = allocate(ceil_divide(rows, ROWS) * weights.stride, sizeof *columns);
    const matrix_type from = {x, features, rows}, to = {y, units, rows}, above = {gradient, units, rows};
    const matrix_type below = {passed, features, rows};
    if (!forward_signs(&weights, from, 1, 0, columns, to, threads))
        exit(2);
    pass_on(&weights, above, below, threads);
    if (!weight_gradient(&weights, above, columns, result, 0, threads) ||
        !weight_gradient(&weights, above, columns, half, 1, threads))
        exit(2);
    for (int k = 0; k < 400; k++) {
        const size_t n = draw((uint32_t)rows), u = draw((uint32_t)units), i = draw((uint32_t)features);
        double sum = 0, back = 0, slope = 0;
        for (size_t j = 0; j < features; j++)
            sum += (x[n * features + j] >= 0 ? 1 : -1) * signs[u * features + j];
        for (size_t j = 0; j < units; j++)
            back += gradient[n * units + j] * signs[j * features + i];
        for (size_t j = 0; j < rows; j++)
            slope += gradient[j * units + u] * (x[j * features + i] >= 0 ? 1 : -1);
        expect("forward", y[n * units + u], sum, 0);
        expect("passed on", passed[n * features + i], back, 1e-5 * (double)units);
        expect("gradient", result[u * features + i], slope, 1e-5 * (double)rows);
        expect("gradient in bfloat16", from_half(half[u * features + i]), slope, 0.004 * fabs(slope) + 1e-5 * (double)rows);
    }
    release_weights(&weights);
    release(columns);
    free(signs), free(x), free(y), free(gradient), free(passed), free(result), free(half);
}

static void check_bytes(size_t features, size_t units, size_t rows, size_t threads)
{
    weights_type weights;
    if (!make_weights(&weights, 1, features, units))
        exit(2);
    int8_t *signs = exactly(features * units);
    uint8_t *x = exactly(rows * features);
    float *y = numbers(rows * units);
    for (size_t i = 0; i < features * units; i++)
        signs[i] = draw(2) ? 1 : -1;
    for (size_t i = 0; i < rows * features; i++)
        x[i] = (uint8_t)draw(256);
    pack_weights(&weights, signs, threads);
    if (!forward_bytes(&weights, x, features, 0.5f, 0, (matrix_type){y, units, rows}, threads))
        exit(2);
    for (int k = 0; k < 400; k++) {
        const size_t n = draw((uint32_t)rows), u = draw((uint32_t)units);
        double sum = 0;
        for (size_t j = 0; j < features; j++)
            sum += 0.5 * x[n * features + j] * signs[u * features + j];
        expect("bytes", y[n * units + u], sum, 0);
    }
    release_weights(&weights);
    free(signs), free(x), free(y);
}

int main(void)
{
    if (!training_available()) {
        puts("unavailable");
        return 0;
    }
    static const size_t shapes[][3] = {{1, 1, 1},     {64, 32, 8},    {65, 33, 9},    {100, 10, 100},
                                       {31, 130, 33}, {257, 300, 77}, {1030, 70, 260}, {40, 65, 530}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t threads = 1; threads <= 3; threads += 2) {
            check_signs(shapes[s][0], shapes[s][1], shapes[s][2], threads);
            check_bytes(shapes[s][0], shapes[s][1], shapes[s][2], threads);
        }
    puts("right");
    return 0;
}
