/* Runs the float32 model of this folder, without snn-deploy.
 *
 *     ./model                the frames of example_float.bin: PASS or FAIL, exit 0 or 1
 *     ./model FRAMES [STEPS] your own frames, STEPS of them a sample (default: as trained); prints a decision per sample
 *
 * FRAMES holds float [samples][STEPS][MODEL_FLOAT_INPUTS] of this machine's order and nothing else.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "early_exit.h"
#include "model_float.h"

static model_float_t model;
static float input[MODEL_FLOAT_INPUTS], output[MODEL_FLOAT_OUTPUTS], expected[MODEL_FLOAT_OUTPUTS];
static double score[MODEL_FLOAT_OUTPUTS];
#ifdef MODEL_FLOAT_CLASSES
static const char *const classes[MODEL_FLOAT_OUTPUTS] = MODEL_FLOAT_CLASSES;
#endif

static size_t frame_of(FILE *file)
{
    return fread(input, sizeof input[0], MODEL_FLOAT_INPUTS, file);
}

/* Whether all entries of the frame, the number'th of the file, are numbers. */
static int all_finite(long number)
{
    for (int i = 0; i < MODEL_FLOAT_INPUTS; i++)
        if (!isfinite(input[i])) {
            fprintf(stderr, "entry %d of frame %ld is not finite\n", i, number);
            return 0;
        }
    return 1;
}

/* Add a step's output to the scores, or let it replace them where the last step decides. */
static void count(void)
{
    for (int k = 0; k < MODEL_FLOAT_OUTPUTS; k++)
        score[k] = MODEL_FLOAT_DECODE_LAST ? (double)output[k] : score[k] + (double)output[k];
}

/* Whether the scores so far suffice, in a sample of so many steps. */
static int ends(long steps)
{
#ifdef EXIT_AT
    return sure(score, MODEL_FLOAT_OUTPUTS, (double)(MODEL_FLOAT_DECODE_LAST ? 1 : steps));
#else
    (void)steps;
    return 0;
#endif
}

static void decide(long sample, long steps)
{
    int best = 0;
    for (int k = 1; k < MODEL_FLOAT_OUTPUTS; k++)
        if (score[k] > score[best])
            best = k;
#ifdef MODEL_FLOAT_CLASSES
    printf("sample %ld: %s (", sample, classes[best]);
#else
    printf("sample %ld: %d (", sample, best);
#endif
    for (int k = 0; k < MODEL_FLOAT_OUTPUTS; k++)
        printf("%s%g", k ? " " : "", score[k]);
    printf(")");
#ifdef EXIT_AT
    printf(" after %ld steps", steps);
#else
    (void)steps;
#endif
    printf("\n");
    for (int k = 0; k < MODEL_FLOAT_OUTPUTS; k++)
        score[k] = 0.0;
}

static int own_frames(const char *name, long steps)
{
    FILE *file = fopen(name, "rb");
    if (!file || steps < 1) {
        fprintf(stderr, "%s\n", file ? "STEPS, the frames of a sample, is 1 or more" : "FRAMES cannot be opened");
        return 2;
    }
    long sample = 0, step = 0, run = 0;
    int ended = 0;
    model_float_init(&model);
    size_t found;
    while ((found = frame_of(file)) == MODEL_FLOAT_INPUTS) {
        if (!all_finite(sample * steps + step)) {
            fclose(file);
            return 2;
        }
        if (!ended) {
            model_float_step(&model, input, output);
            count();
            run = step + 1;
            ended = ends(steps);
        }
        if (++step == steps) {
            decide(sample++, run);
            model_float_reset(&model);
            step = ended = 0;
        }
    }
    fclose(file);
    if (found || step)
        fprintf(stderr, "FRAMES ends in the middle of a sample: it holds [samples][%ld][%d] values\n", steps,
                MODEL_FLOAT_INPUTS);
    return found || step ? 2 : 0;
}

static int example(void)
{
    int about[4];
    FILE *file = fopen("example_float.bin", "rb");
    if (!file || fread(about, sizeof about[0], 4, file) != 4 || about[2] != MODEL_FLOAT_INPUTS ||
        about[3] != MODEL_FLOAT_OUTPUTS) {
        fprintf(stderr, "example_float.bin is missing or belongs to another model\n");
        return 2;
    }
    const long steps = about[1], total = about[0] * steps;
    long differing = 0, active = 0;
    clock_t busy = 0;
    model_float_init(&model);
    for (long i = 0; i < total; i++) {
        if (frame_of(file) != MODEL_FLOAT_INPUTS ||
            fread(expected, sizeof expected[0], MODEL_FLOAT_OUTPUTS, file) != MODEL_FLOAT_OUTPUTS) {
            fprintf(stderr, "example_float.bin is too short\n");
            return 2;
        }
        if (i % steps == 0)
            model_float_reset(&model);
        const clock_t start = clock();
        model_float_step(&model, input, output);
        busy += clock() - start;
        for (int k = 0; k < MODEL_FLOAT_OUTPUTS; k++) {
            differing += memcmp(&output[k], &expected[k], sizeof output[k]) != 0;
            active += expected[k] < 0.0f || expected[k] > 0.0f;
        }
    }
    fclose(file);
    printf("%s model_float.c: %ld of %ld outputs differ in any bit (%ld are not zero); %.1f us a step\n",
           differing ? "FAIL" : "PASS", differing, total * MODEL_FLOAT_OUTPUTS, active,
           1e6 * (double)busy / CLOCKS_PER_SEC / (double)total);
    return differing != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return own_frames(argv[1], argc > 2 ? atol(argv[2]) : MODEL_FLOAT_TIMESTEPS);
    return example();
}
