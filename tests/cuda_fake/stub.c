/* Loaded before torch's own libraries, so that torch finds a CUDA device to make fake tensors for, and a driver
   (this library is named libcuda.so.1) that has nothing open on it. */
#include <stdbool.h>

int stub_devices = 0; /* raised once torch is imported, which would start a driver for real devices */

bool _ZN3c104cuda17hasPrimaryContextEa(signed char device) { return false; }
signed char _ZN3c104cuda12device_countEv(void) { return stub_devices; }
signed char _ZN3c104cuda23device_count_ensure_non_zeroEv(void) { return 1; }
void _ZN3c104cuda19CUDAErrorLogCaptureC1Ev(void *capture) {} /* would ask the driver for its log */

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0;
    *active = 0;
    return 0;
}
