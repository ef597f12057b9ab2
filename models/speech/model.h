/* Spiking network, 1x1x12 -> 9. Written by snn-deploy 0.2.0.
 *
 * The integer arithmetic of Loihi, as Lava simulates it. C99, no library, no allocation,
 * no recursion; all state is in model_t, so that a program may hold as many instances as it has memory for.
 *
 *     static model_t model;
 *     model_init(&model);
 *     for each step: model_step(&model, input, output);
 *     before the next sample: model_reset(&model);
 *
 * Input:  1x1x12 integers from -255 to 255, channel by channel, row by row.
 * Output: 9 values: what each membrane gained in the step of 'readout.linear'; MODEL_OUTPUT_SCALE is one unit.
 * Layers: 2, 137 neurons, 19,456 bytes of constants, 1,606 bytes of RAM.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#define MODEL_INPUTS 12
#define MODEL_INPUT_MIN -255
#define MODEL_INPUT_MAX 255 /* every input lies between these */
#define MODEL_OUTPUTS 9
#define MODEL_TIMESTEPS 29 /* steps of a sample that the network was made for; 0: not stated */
#define MODEL_DECODE_LAST 0 /* 1: the last output decides; 0: the sum over steps */
#define MODEL_CLASSES { "1", "2", "3", "4", "5", "6", "7", "8", "9" }
#define MODEL_SLOTS 9 /* steps whose sums are kept ahead for delayed synapses; 1: none */
#define MODEL_LAYERS 2
#define MODEL_LAYER_SIZES { 128, 9 }
#define MODEL_OUTPUT_SCALE 9633.592992155203 /* an output divided by this is the network's real value */
#define MODEL_INPUT_SCALE 0.016398205476648667 /* a real input divided by this is the integer to give */

/* Per layer: 1 to visit the synapses of spikes only, 0 to visit all of them (faster where most neurons fire). */
#ifndef MODEL_HIDDEN1_NEURON_EVENTS
#define MODEL_HIDDEN1_NEURON_EVENTS 1
#endif
#ifndef MODEL_READOUT_LINEAR_EVENTS
#define MODEL_READOUT_LINEAR_EVENTS 1
#endif

typedef int32_t model_input_t;

typedef struct {
    /* hidden1.neuron: dense, 1x1x12 -> 128, recurrent */
    int32_t hidden1_neuron_v[128];
    uint8_t hidden1_neuron_before[128]; /* its own spikes of the step before */
    /* readout.linear: dense, 128 -> 9, delays */
    int32_t readout_linear_v[9];
    int16_t readout_linear_later[81]; /* sums of the next steps */
    union {
        int16_t narrow[128];
        int32_t wide[1];
    } sum; /* scratch: the sums of one layer */
    uint8_t spikes[2][128]; /* scratch: what one layer sends, what the next one sends */
    uint16_t events[128]; /* scratch: who fired */
    int32_t step; /* steps since the last reset, modulo 9 */
} model_t;

/* Make an instance ready; the same as model_reset. */
void model_init(model_t *m);

/* Forget everything, before a new sample. */
void model_reset(model_t *m);

/* One time step. Returns 0, or 1 when the readout left its 24 bits, so that this output is wrong. */
int model_step(model_t *m, const model_input_t input[MODEL_INPUTS], int32_t output[MODEL_OUTPUTS]);

#ifdef MODEL_HOOK
/* Compiled with -DMODEL_HOOK=name: your function is called with the spikes of every layer before they are passed
 * on. It may look at them, and change them. */
void MODEL_HOOK(int layer, uint8_t *spikes, int count);
#endif

#endif
