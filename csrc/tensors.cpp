#include "tensors.h"

namespace epure {
namespace {

py::object owned(PyObject* found) {
  if (!found) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
}

// DLPack's structs, as dlpack.h (https://dmlc.github.io/dlpack) lays them out; what is not read has no name there.
struct DLTensor {
  void* data;
  std::int32_t device_type, device_id, ndim;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t *shape, *strides;
  std::uint64_t byte_offset;
};

struct ExchangeApi {
  std::uint32_t major, minor;
  void *previous, *others[3];
  int (*tensor_from)(void* object, DLTensor* out);  // without reference or synchronisation; -1: a Python exception
};

constexpr std::uint32_t kMajor = 1;  // the version whose layout this is
enum { kCpu = 1, kCuda = 2, kPinned = 3 };
enum { kInt = 0, kFloat = 2, kBoolean = 6 };

const ExchangeApi* exchange = nullptr;

int dtype_of_code(const DLTensor& t) {
  if (t.lanes != 1) return kDtypes;
  if (t.code == kFloat) return t.bits == 32 ? kFloat32 : t.bits == 64 ? kFloat64 : kDtypes;
  if (t.code == kInt) return t.bits == 32 ? kInt32 : t.bits == 64 ? kInt64 : kDtypes;
  return t.code == kBoolean && t.bits == 8 ? kBool : kDtypes;
}

// What is asked of torch. Made at the first call, when torch has long been imported; never destroyed, as the interpreter
// may go first.
struct Torch {
  PyTypeObject* tensor;
  PyObject* dtypes[kDtypes];
  PyObject *dtype, *numel, *is_contiguous, *is_cpu, *is_cuda, *data_ptr;  // names of members
  Torch() {
    const py::module_ torch = py::module_::import("torch");
    tensor = reinterpret_cast<PyTypeObject*>(py::object(torch.attr("Tensor")).release().ptr());
    for (int i = 0; i < kDtypes; ++i) dtypes[i] = py::object(torch.attr(kDtypeNames[i])).release().ptr();
    dtype = PyUnicode_InternFromString("dtype");
    numel = PyUnicode_InternFromString("numel");
    is_contiguous = PyUnicode_InternFromString("is_contiguous");
    is_cpu = PyUnicode_InternFromString("is_cpu");
    is_cuda = PyUnicode_InternFromString("is_cuda");
    data_ptr = PyUnicode_InternFromString("data_ptr");
  }
  static const Torch& get() {
    static const Torch* known = nullptr;
    if (!known) known = new Torch;
    return *known;
  }
};

Tensor described(const DLTensor& t) {
  long count = 1;
  bool contiguous = true;
  for (int axis = t.ndim - 1; axis >= 0; --axis) {
    contiguous &= t.shape[axis] == 1 || t.strides[axis] == count;
    count *= t.shape[axis];
  }
  return {dtype_of_code(t),
          t.device_type == kCpu || t.device_type == kPinned,
          t.device_type == kCuda,
          contiguous || count == 0,
          count,
          reinterpret_cast<std::uintptr_t>(t.data) + t.byte_offset};
}

Tensor asked(PyObject* tensor) {
  const Torch& torch = Torch::get();
  const auto yes = [&](PyObject* member) { return owned(PyObject_GetAttr(tensor, member)).ptr() == Py_True; };
  const auto call = [&](PyObject* member) { return owned(PyObject_CallMethodNoArgs(tensor, member)); };
  const py::object dtype = owned(PyObject_GetAttr(tensor, torch.dtype));
  int known = 0;
  while (known < kDtypes && dtype.ptr() != torch.dtypes[known]) ++known;
  const Tensor seen{known,
                    yes(torch.is_cpu),
                    yes(torch.is_cuda),
                    call(torch.is_contiguous).ptr() == Py_True,
                    PyLong_AsLong(call(torch.numel).ptr()),
                    PyLong_AsSize_t(call(torch.data_ptr).ptr())};
  if (PyErr_Occurred()) throw py::error_already_set();
  return seen;
}

}  // namespace

bool is_tensor(PyObject* value) { return PyObject_TypeCheck(value, Torch::get().tensor); }

Tensor look_at(PyObject* tensor) {
  DLTensor found;
  if (exchange && !exchange->tensor_from(tensor, &found)) return described(found);
  PyErr_Clear();  // DLPack knows no such device or dtype
  return asked(tensor);
}

void exchange_through(py::object capsule) {
  exchange = nullptr;
  if (capsule.is_none()) return;
  const auto* found = static_cast<const ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (!found) throw py::error_already_set();
  if (found->major == kMajor && found->tensor_from) exchange = found;
}

}  // namespace epure
