/* What stands at address 0: the end of the stack, and where to begin; the C library does the rest. */
#include <stdint.h>

extern uint32_t top_of_stack;
void _start(void);
void _init(void) {}
void _fini(void) {}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)&top_of_stack, (uintptr_t)_start, (uintptr_t)_start, (uintptr_t)_start};
