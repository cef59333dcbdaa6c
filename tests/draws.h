/* What the checks of compiled code draw, and where they put it. */
#include <stdint.h>
#include <stdlib.h>

static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

/* An allocation of exactly this size, so that a byte read or written beyond it is noticed. */
static void *exactly(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        exit(2);
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)memory)[i] = (uint8_t)draw(256);
    return memory;
}
