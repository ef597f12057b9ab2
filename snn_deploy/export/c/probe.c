/* Runs a model on frames from a file and writes what every layer did: the harness that proves a model.c.
 *
 *     probe FRAMES FORCED OUT SAMPLES STEPS
 *
 * FRAMES: int32 [SAMPLES][STEPS][MODEL_INPUTS]. FORCED: "-", or one byte per neuron of all layers (1: its spikes
 * are given), then bytes [SAMPLES][STEPS][neurons]. OUT, per sample and step: int32 outputs, the bytes of all
 * neurons' own spikes, a byte that is 1 where the readout left its 24 bits. Exit 3: a file is too short.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static const int sizes[MODEL_LAYERS] = MODEL_LAYER_SIZES;
static model_t model;
static uint8_t *own, *given, *mask;

void probe_hook(int layer, uint8_t *spikes, int count);

void probe_hook(int layer, uint8_t *spikes, int count)
{
    size_t first = 0;
    for (int i = 0; i < layer; i++)
        first += (size_t)sizes[i];
    memcpy(own + first, spikes, (size_t)count);
    for (size_t i = 0; given && i < (size_t)count; i++)
        if (mask[first + i])
            spikes[i] = given[first + i];
}

static void need(int fine, int status)
{
    if (!fine)
        exit(status);
}

int main(int argc, char **argv)
{
    static int32_t frame[MODEL_INPUTS], output[MODEL_OUTPUTS];
    static model_input_t input[MODEL_INPUTS];
    need(argc == 6, 2);
    FILE *frames = fopen(argv[1], "rb");
    FILE *forced = strcmp(argv[2], "-") ? fopen(argv[2], "rb") : NULL;
    FILE *out = fopen(argv[3], "wb");
    const long samples = atol(argv[4]), steps = atol(argv[5]);
    size_t neurons = 0;
    for (int i = 0; i < MODEL_LAYERS; i++)
        neurons += (size_t)sizes[i];
    own = calloc(neurons, 1);
    need(frames && out && own && (forced || !strcmp(argv[2], "-")), 4);
    if (forced) {
        given = malloc(neurons);
        mask = malloc(neurons);
        need(given && mask, 4);
        need(fread(mask, 1, neurons, forced) == neurons, 3);
    }
    model_init(&model);
    for (long sample = 0; sample < samples; sample++) {
        model_reset(&model);
        for (long step = 0; step < steps; step++) {
            need(fread(frame, sizeof frame[0], MODEL_INPUTS, frames) == MODEL_INPUTS, 3);
            if (forced)
                need(fread(given, 1, neurons, forced) == neurons, 3);
            for (int i = 0; i < MODEL_INPUTS; i++)
                input[i] = (model_input_t)frame[i];
            const uint8_t left = (uint8_t)model_step(&model, input, output);
            fwrite(output, sizeof output[0], MODEL_OUTPUTS, out);
            fwrite(own, 1, neurons, out);
            need(fwrite(&left, 1, 1, out) == 1, 5);
        }
    }
    free(own);
    free(given);
    free(mask);
    fclose(frames);
    if (forced)
        fclose(forced);
    need(fclose(out) == 0, 5);
    return 0;
}
