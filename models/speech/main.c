/* Runs the model of this folder, without snn-deploy.
 *
 *     ./model                the frames of example.bin: PASS or FAIL, exit 0 or 1
 *     ./model FRAMES [STEPS] your own frames, STEPS of them a sample (default: as trained); prints a decision per sample
 *
 * FRAMES holds model_input_t [samples][STEPS][MODEL_INPUTS] and nothing else: bytes 0 or 1, or 32-bit integers of
 * this machine's order (model.h says which, and in which order an image is laid out).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "early_exit.h"
#include "model.h"

#ifndef MODEL_OUTPUT_SCALE
#define MODEL_OUTPUT_SCALE 1.0 /* outputs are spikes */
#endif

static model_t model;
static model_input_t input[MODEL_INPUTS];
static int32_t output[MODEL_OUTPUTS], expected[MODEL_OUTPUTS], score[MODEL_OUTPUTS];
#ifdef MODEL_CLASSES
static const char *const classes[MODEL_OUTPUTS] = MODEL_CLASSES;
#endif

static size_t frame_of(FILE *file)
{
    return fread(input, sizeof input[0], MODEL_INPUTS, file);
}

/* Whether all entries of the frame, the number'th of the file, are what the network takes. */
static int in_range(long number)
{
    for (int i = 0; i < MODEL_INPUTS; i++) {
        const long value = input[i];
        if (value < MODEL_INPUT_MIN || value > MODEL_INPUT_MAX) {
            fprintf(stderr, "entry %d of frame %ld is %ld; due are %d to %d\n", i, number, value, MODEL_INPUT_MIN,
                    MODEL_INPUT_MAX);
            return 0;
        }
    }
    return 1;
}

/* Add a step's output to the scores, or let it replace them where the last step decides. */
static void count(void)
{
    for (int k = 0; k < MODEL_OUTPUTS; k++)
        score[k] = MODEL_DECODE_LAST ? output[k] : score[k] + output[k];
}

/* Whether the scores so far suffice, in a sample of so many steps. */
static int ends(long steps)
{
#ifdef EXIT_AT
    static double sums[MODEL_OUTPUTS];
    for (int k = 0; k < MODEL_OUTPUTS; k++)
        sums[k] = score[k];
    return sure(sums, MODEL_OUTPUTS, MODEL_OUTPUT_SCALE * (double)(MODEL_DECODE_LAST ? 1 : steps));
#else
    (void)steps;
    return 0;
#endif
}

static void decide(long sample, long steps)
{
    int best = 0;
    for (int k = 1; k < MODEL_OUTPUTS; k++)
        if (score[k] > score[best])
            best = k;
#ifdef MODEL_CLASSES
    printf("sample %ld: %s (", sample, classes[best]);
#else
    printf("sample %ld: %d (", sample, best);
#endif
    for (int k = 0; k < MODEL_OUTPUTS; k++)
        printf("%s%ld", k ? " " : "", (long)score[k]);
    printf(")");
#ifdef EXIT_AT
    printf(" after %ld steps", steps);
#else
    (void)steps;
#endif
    printf("\n");
    for (int k = 0; k < MODEL_OUTPUTS; k++)
        score[k] = 0;
}

static int own_frames(const char *name, long steps)
{
    FILE *file = fopen(name, "rb");
    if (!file || steps < 1) {
        fprintf(stderr, "%s\n", file ? "STEPS, the frames of a sample, is 1 or more" : "FRAMES cannot be opened");
        return 2;
    }
    long sample = 0, step = 0, left = 0, run = 0;
    int ended = 0;
    model_init(&model);
    size_t found;
    while ((found = frame_of(file)) == MODEL_INPUTS) {
        if (!in_range(sample * steps + step)) {
            fclose(file);
            return 2;
        }
        if (!ended) {
            left |= model_step(&model, input, output);
            count();
            run = step + 1;
            ended = ends(steps);
        }
        if (++step == steps) {
            decide(sample++, run);
            model_reset(&model);
            step = ended = 0;
        }
    }
    fclose(file);
    if (found || step)
        fprintf(stderr, "FRAMES ends in the middle of a sample: it holds [samples][%ld][%d] values\n", steps, MODEL_INPUTS);
    if (left)
        fprintf(stderr, "the readout left its 24 bits: these scores are wrong\n");
    return found || step || left ? 2 : 0;
}

static int example(void)
{
    int32_t about[4];
    FILE *file = fopen("example.bin", "rb");
    if (!file || fread(about, sizeof about[0], 4, file) != 4 || about[2] != MODEL_INPUTS || about[3] != MODEL_OUTPUTS) {
        fprintf(stderr, "example.bin is missing or belongs to another model\n");
        return 2;
    }
    const long steps = about[1], total = about[0] * steps;
    long differing = 0, active = 0;
    clock_t busy = 0;
    model_init(&model);
    for (long i = 0; i < total; i++) {
        if (frame_of(file) != MODEL_INPUTS || fread(expected, sizeof expected[0], MODEL_OUTPUTS, file) != MODEL_OUTPUTS) {
            fprintf(stderr, "example.bin is too short\n");
            return 2;
        }
        if (i % steps == 0)
            model_reset(&model);
        const clock_t start = clock();
        model_step(&model, input, output);
        busy += clock() - start;
        for (int k = 0; k < MODEL_OUTPUTS; k++) {
            differing += output[k] != expected[k];
            active += expected[k] != 0;
        }
    }
    fclose(file);
    printf("%s model.c: %ld of %ld outputs differ (%ld are not zero); %.1f us a step\n", differing ? "FAIL" : "PASS", differing,
           total * MODEL_OUTPUTS, active, 1e6 * (double)busy / CLOCKS_PER_SEC / (double)total);
    return differing != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return own_frames(argv[1], argc > 2 ? atol(argv[2]) : MODEL_TIMESTEPS);
    return example();
}
