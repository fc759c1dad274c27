#include "arguments.h"

#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"
#include "cpu/pool.h"

namespace epure {

long padded_rows(long rows, bool is_double, bool is_cuda) {
  const long lanes = is_cuda ? 1 : is_double ? instruction_set().f64.lanes : instruction_set().f32.lanes;
  return (rows + lanes - 1) / lanes * lanes;
}

Arguments::Arguments(const std::string& operation, const std::vector<int>& sizes, long rows, int threads,
                     const py::dict& given)
    : rows(rows), operation(operation), threads(threads), components(int(sizes.size())) {
  if (rows < 0) throw py::value_error(sentence("rows", "expected 0 or more, got " + std::to_string(rows)));
  for (int c = 0; c < components; ++c) {
    const int size = sizes[std::size_t(c)];
    if (size < 1) throw py::value_error(sentence("sizes", "expected positive numbers, got " + std::to_string(size)));
    const int from = shape.n;
    for (; shape.n < from + size; ++shape.n) {
      component.push_back(c);
      start.push_back(from);
      offset.push_back(shape.k);
      shape.k += from;
    }
  }
  shape.np = shape.n + shape.n % 2;
  start.resize(shape.np, 0);  // the padding row has no free entries
  offset.resize(shape.np, shape.k);
  shape.start = start.data();
  shape.offset = offset.data();
  this->given.reserve(given.size());
  PyObject *name, *value;
  for (Py_ssize_t at = 0; PyDict_Next(given.ptr(), &at, &name, &value);) {
    const char* text = PyUnicode_AsUTF8(name);
    if (!text) throw py::error_already_set();
    this->given.push_back({text, value, false});
    if (first || !is_tensor(value)) continue;
    const Tensor seen = look_at(value);
    if (seen.dtype != kFloat32 && seen.dtype != kFloat64) continue;
    is_double = seen.dtype == kFloat64;
    is_cuda = seen.is_cuda;
    first = text;
  }
}

Batch Arguments::batch() const { return {shape, rows, threads, components, component.data()}; }

long Arguments::padded_rows() const { return epure::padded_rows(rows, is_double, is_cuda); }

std::string Arguments::sentence(const char* name, const std::string& text) const {
  return operation + ": " + name + ": " + text;
}

std::string Arguments::names(bool taken) const {
  std::string list;
  for (const Given& one : given)
    if (one.taken == taken) list += (list.empty() ? "" : ", ") + std::string(one.name);
  return list.empty() ? "nothing" : list;
}

// Arguments come in the table's order at best, and then the search ends at once.
PyObject* Arguments::take(const char* name) {
  for (std::size_t i = 0; i < given.size(); ++i) {
    Given& one = given[(next + i) % given.size()];
    if (one.taken || std::strcmp(one.name, name)) continue;
    next += i + 1;
    one.taken = true;
    return one.value;
  }
  throw py::type_error(sentence(name, "this argument is missing; given and not used: " + names(false)));
}

void Arguments::finish() const {
  for (const Given& one : given)
    if (!one.taken) throw py::type_error(sentence(one.name, "no such argument; there are " + names(true)));
}

void Arguments::fill(std::initializer_list<Field> table) {
  for (const Field& field : table) {
    PyObject* value = take(field.name);
    const bool none = (field.traits & kOptional) && value == Py_None;
    const std::uintptr_t found = none ? 0 : address(field, value);
    std::memcpy(field.target, &found, sizeof found);
    if (field.traits & kFresh && found && !is_cuda)
      advise_huge(reinterpret_cast<void*>(found), std::size_t(field.count) * (field.dtype == kFloat32 ? 4 : 8));
  }
}

std::uintptr_t Arguments::address(const Field& field, PyObject* tensor) const {
  const auto but = [&](const std::string& got) {
    return sentence(field.name, "expected " + std::to_string(field.count) + " contiguous numbers of torch." +
                                    kDtypeNames[field.dtype] + (is_cuda ? " on the GPU" : " on the CPU") + ", got " + got);
  };
  if (!is_tensor(tensor)) throw py::type_error(but(Py_TYPE(tensor)->tp_name));
  const Tensor seen = look_at(tensor);
  if (seen.dtype != field.dtype)
    throw py::type_error(but(std::string(py::str(py::handle(tensor).attr("dtype"))) +
                             (first ? std::string(" (the first tensor: ") + first + ")" : "")));
  if (!(is_cuda ? seen.is_cuda : seen.is_cpu)) throw py::value_error(but("a tensor on another device"));
  if (seen.count == 0 && field.traits & kOptional) return 0;
  if (seen.count != field.count) throw py::value_error(but(std::to_string(seen.count)));
  if (!seen.is_contiguous) throw py::value_error(but("a strided tensor"));
  if (field.traits & kAligned && seen.address % 64)
    throw py::value_error(but("an address that is no multiple of 64 bytes"));
  return seen.address;
}

double Arguments::number(const char* name) {
  const double value = PyFloat_AsDouble(take(name));
  if (PyErr_Occurred()) throw py::error_already_set();
  return value;
}

std::size_t Arguments::integer(const char* name) {
  const std::size_t value = PyLong_AsSize_t(take(name));
  if (PyErr_Occurred()) throw py::error_already_set();
  return value;
}

const long long* Arguments::bounds(const char* name, long& count) {
  begin = py::handle(take(name)).cast<std::vector<long long>>();
  count = long(begin.size()) - 1;
  bool fine = count >= 0 && begin.front() == 0 && begin.back() == rows;
  for (long m = 0; fine && m < count; ++m) fine = begin[m] <= begin[m + 1];
  if (!fine) throw py::value_error(sentence(name, "expected ascending numbers from 0 to " + std::to_string(rows)));
  return begin.data();
}

void Arguments::demand_below(const char* name, const long long* places, long count, long end) const {
  for (long i = 0; i < count; ++i)
    if (places[i] < 0 || places[i] >= end)
      throw py::value_error(sentence(name, "expected numbers from 0 to " + std::to_string(end - 1) + ", got " +
                                               std::to_string(places[i])));
}

void Arguments::together(const char* name, const void* one, const char* other_name, const void* other) const {
  if (!one != !other)
    throw py::type_error(sentence(one ? other_name : name, std::string("expected beside ") + (one ? name : other_name)));
}

void Arguments::either(const char* name, const void* one, const char* other_name, const void* other) const {
  if (rows && !one == !other) throw py::type_error(sentence(name, std::string("expected it or ") + other_name));
}

}  // namespace epure
