/* Runs a model on frames from a file and writes what nodes did: the harness that proves a model_float.c.
 *
 *     probe FRAMES ROLES GIVEN OUT SAMPLES STEPS
 *
 * FRAMES: float [SAMPLES][STEPS][MODEL_FLOAT_INPUTS]. ROLES: a byte per node, 1: recorded, 2: given, 3: both. GIVEN:
 * float [SAMPLES][STEPS][elements of all given nodes]. OUT, per sample and step: float outputs, then the own values of
 * all recorded nodes. Exit 3: a file is too short.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_float.h"

static const int sizes[MODEL_FLOAT_NODES] = MODEL_FLOAT_NODE_SIZES;
static unsigned char roles[MODEL_FLOAT_NODES];
static model_float_t model;
static float *own, *given;
static size_t own_at, given_at;

void probe_hook(int node, float *values, int count);

void probe_hook(int node, float *values, int count)
{
    const size_t bytes = (size_t)count * sizeof *values;
    if (roles[node] & 1) {
        memcpy(own + own_at, values, bytes);
        own_at += (size_t)count;
    }
    if (roles[node] & 2) {
        memcpy(values, given + given_at, bytes);
        given_at += (size_t)count;
    }
}

static void need(int fine, int status)
{
    if (!fine)
        exit(status);
}

int main(int argc, char **argv)
{
    static float input[MODEL_FLOAT_INPUTS], output[MODEL_FLOAT_OUTPUTS];
    need(argc == 7, 2);
    FILE *frames = fopen(argv[1], "rb"), *kinds = fopen(argv[2], "rb"), *values = fopen(argv[3], "rb");
    FILE *out = fopen(argv[4], "wb");
    const long samples = atol(argv[5]), steps = atol(argv[6]);
    need(frames && kinds && values && out, 4);
    need(fread(roles, 1, MODEL_FLOAT_NODES, kinds) == MODEL_FLOAT_NODES, 3);
    size_t recorded = 0, replaced = 0;
    for (int i = 0; i < MODEL_FLOAT_NODES; i++) {
        recorded += roles[i] & 1 ? (size_t)sizes[i] : 0;
        replaced += roles[i] & 2 ? (size_t)sizes[i] : 0;
    }
    own = malloc((recorded + 1) * sizeof *own);
    given = malloc((replaced + 1) * sizeof *given);
    need(own && given, 4);
    model_float_init(&model);
    for (long sample = 0; sample < samples; sample++) {
        model_float_reset(&model);
        for (long step = 0; step < steps; step++) {
            need(fread(input, sizeof input[0], MODEL_FLOAT_INPUTS, frames) == MODEL_FLOAT_INPUTS, 3);
            need(fread(given, sizeof *given, replaced, values) == replaced, 3);
            own_at = given_at = 0;
            model_float_step(&model, input, output);
            need(fwrite(output, sizeof output[0], MODEL_FLOAT_OUTPUTS, out) == MODEL_FLOAT_OUTPUTS, 5);
            need(fwrite(own, sizeof *own, recorded, out) == recorded, 5);
        }
    }
    free(own);
    free(given);
    fclose(frames);
    fclose(kinds);
    fclose(values);
    need(fclose(out) == 0, 5);
    return 0;
}
