/* When a sample ends before its last step: README.md, Early exit. run_c.sh and run_c_float.sh take both numbers
 * from manifest.json; without EXIT_AT no sample ends early.
 *
 *     a   the sum of the outputs so far, divided by the steps of a whole sample; or the last output
 *     c = 1 / sum_k exp(EXIT_SCALE (a_k - max a))
 *     the sample ends with the first step for which c >= EXIT_AT
 */
#ifdef EXIT_AT
#include <math.h>
#ifndef EXIT_SCALE
#define EXIT_SCALE 1.0
#endif

/* Whether `count` sums of outputs, each `units` times its a, suffice to stop. */
static int sure(const double *sums, int count, double units)
{
    double most = sums[0], total = 0.0;
    for (int k = 1; k < count; k++)
        if (sums[k] > most)
            most = sums[k];
    for (int k = 0; k < count; k++)
        total += exp(EXIT_SCALE * (sums[k] - most) / units);
    return 1.0 / total >= EXIT_AT;
}
#endif
