/* A model that is stepped from outside, by single letters on standard input:
 *
 *     S  and model_input_t [MODEL_INPUTS]   one step; answers int32 [MODEL_OUTPUTS] and a byte, 1: readout overflow
 *     T                                     answers how long the last step took, uint64 nanoseconds
 *     R                                     forget everything
 *     D                                     answers its size, uint32, and all of model_t
 *     L  and all of model_t                 goes on from there; answers 0, or 1 where that cannot be
 *
 * It ends with its input.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>

#include "model.h"

static model_t model;
static model_input_t input[MODEL_INPUTS];
static int32_t output[MODEL_OUTPUTS];

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(void)
{
    int letter;
    uint64_t took = 0;
    model_init(&model);
    while ((letter = getchar()) != EOF) {
        if (letter == 'S') {
            if (fread(input, sizeof input[0], MODEL_INPUTS, stdin) != MODEL_INPUTS)
                return 3;
            const uint64_t start = now();
            const int left = model_step(&model, input, output);
            took = now() - start;
            fwrite(output, sizeof output[0], MODEL_OUTPUTS, stdout);
            putchar(left);
        } else if (letter == 'T') {
            fwrite(&took, sizeof took, 1, stdout);
        } else if (letter == 'R') {
            model_reset(&model);
        } else if (letter == 'D') {
            const uint32_t size = sizeof model;
            fwrite(&size, sizeof size, 1, stdout);
            fwrite(&model, sizeof model, 1, stdout);
        } else if (letter == 'L' && fread(&model, sizeof model, 1, stdin) == 1) {
#if MODEL_SLOTS > 1
            if (model.step < 0 || model.step >= MODEL_SLOTS) {
                model_reset(&model);
                putchar(1);
            } else
#endif
                putchar(0);
        } else {
            return 3;
        }
        fflush(stdout);
    }
    return 0;
}
