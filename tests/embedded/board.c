/* Runs example.bin on an emulated board through semihosting, and counts instructions.
 *
 * Under `-icount shift=0` an instruction takes 1 ns of the board's time, so a tick of SysTick, which counts down at the
 * clock of the board, is INSTRUCTIONS_PER_TICK of them.
 */
#include <stdint.h>
#include <stdio.h>

#include "model.h"

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018)

extern uint32_t stack_top;
extern void _start(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = { &stack_top, (const void *)_start };

static model_t model;
static model_input_t input[MODEL_INPUTS];
static int32_t output[MODEL_OUTPUTS], expected[MODEL_OUTPUTS];

int main(void)
{
    int32_t about[4];
    FILE *file = fopen("example.bin", "rb");
    if (!file || fread(about, sizeof about[0], 4, file) != 4)
        return 2;
    const long total = (long)about[0] * about[1];
    long differing = 0;
    uint32_t worst = 0;
    uint64_t sum = 0;
    SYSTICK_RELOAD = 0xFFFFFF;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5; /* on, processor clock */
    model_init(&model);
    for (long i = 0; i < total; i++) {
        if (fread(input, sizeof input[0], MODEL_INPUTS, file) != MODEL_INPUTS ||
            fread(expected, sizeof expected[0], MODEL_OUTPUTS, file) != MODEL_OUTPUTS)
            return 2;
        if (i % about[1] == 0)
            model_reset(&model);
        const uint32_t before = SYSTICK_VALUE;
        model_step(&model, input, output);
        const uint32_t ticks = (before - SYSTICK_VALUE) & 0xFFFFFF;
        sum += ticks;
        worst = ticks > worst ? ticks : worst;
        for (int k = 0; k < MODEL_OUTPUTS; k++)
            differing += output[k] != expected[k];
    }
    printf("{\"differing\": %ld, \"outputs\": %ld, \"state_bytes\": %lu, \"mean\": %lu, \"worst\": %lu}\n", differing,
           total * MODEL_OUTPUTS, (unsigned long)sizeof(model_t),
           (unsigned long)(sum * INSTRUCTIONS_PER_TICK / (uint64_t)total), (unsigned long)(worst * INSTRUCTIONS_PER_TICK));
    return differing != 0;
}
