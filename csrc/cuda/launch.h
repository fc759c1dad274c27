// The CUDA body's door, or its absence.
#pragma once

#include <pybind11/pybind11.h>

namespace epure {

#if defined(EPURE_CUDA)
void define_cuda(pybind11::module_& m);
#else
inline void define_cuda(pybind11::module_& m) { m.attr("cuda") = false; }
#endif

}  // namespace epure
