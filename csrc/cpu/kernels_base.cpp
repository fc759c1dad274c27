// the compiler's baseline: 16-byte vectors
#define EPURE_ISA base
#define EPURE_BYTES 16
#define EPURE_NAME "base"
#include "table.h"
