// AVX2 and FMA, set by the build for this file alone
#define EPURE_ISA avx2
#define EPURE_BYTES 32
#define EPURE_NAME "avx2"
#include "table.h"
