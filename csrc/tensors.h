// What a torch tensor is and where its numbers lie, without a torch header, so that the module outlives torch's upgrades.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace epure {

namespace py = pybind11;

enum Dtype { kFloat32, kFloat64, kInt32, kInt64, kBool, kDtypes };
inline constexpr const char* kDtypeNames[kDtypes] = {"float32", "float64", "int32", "int64", "bool"};

struct Tensor {
  int dtype;  // kDtypes: another
  bool is_cpu, is_cuda, is_contiguous;
  long count;
  std::uintptr_t address;
};

// Whether it is a torch.Tensor or of a class made from it.
bool is_tensor(PyObject* value);

Tensor look_at(PyObject* tensor);

// From here on tensors are looked at through this capsule of torch's (`torch.Tensor.__dlpack_c_exchange_api__`, DLPack 1.3),
// which takes 0.4 us less a tensor, or member by member where it is None, as in older torch.
void exchange_through(py::object capsule);

}  // namespace epure
