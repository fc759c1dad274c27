// The arguments of one call, by name. A table of fields fills the call's struct: each names a tensor, where its address
// goes and how many numbers it has. A tensor that is missing, not known, of another dtype, device or size, or not
// contiguous is an exception with a sentence, so that no kernel ever sees an address that does not fit.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "calls.h"
#include "tensors.h"

namespace epure {

template <class T>
constexpr Dtype dtype_of = kInt64;
template <>
constexpr Dtype dtype_of<float> = kFloat32;
template <>
constexpr Dtype dtype_of<double> = kFloat64;
template <>
constexpr Dtype dtype_of<int> = kInt32;
template <>
constexpr Dtype dtype_of<unsigned char> = kBool;

enum Trait : unsigned {
  kOptional = 1,  // None, or without numbers: null
  kAligned = 2,   // read and written as whole vectors
  kFresh = 4,     // a result that nobody has touched yet: a large one is put on huge pages
};

struct Field {
  const char* name;
  void* target;  // a pointer to the tensor's numbers, of whatever type
  long count;
  Dtype dtype;
  unsigned traits;
  template <class T>
  Field(const char* name, T*& target, long count, unsigned traits = 0)
      : name(name), target(&target), count(count), dtype(dtype_of<std::remove_const_t<T>>), traits(traits) {}
};

class Arguments {
 public:
  Arguments(const std::string& operation, const std::vector<int>& sizes, long rows, int threads, const py::dict& given);
  Arguments(const Arguments&) = delete;

  const long rows;
  bool is_double = false, is_cuda = false;  // as the first float tensor is, which all others must be like

  Batch batch() const;
  long padded_rows() const;  // of buffers that hold a number of every lane: rows, up to whole vectors on the CPU

  // Each takes what has the name, or throws.
  void fill(std::initializer_list<Field> table);
  double number(const char* name);
  std::size_t integer(const char* name);
  const long long* bounds(const char* name, long& count);  // ascending, from 0 to the rows

  void demand_below(const char* name, const long long* places, long count, long end) const;
  void together(const char* name, const void* one, const char* other_name, const void* other) const;
  void either(const char* name, const void* one, const char* other_name, const void* other) const;
  void finish() const;  // nothing was given that nobody took

 private:
  struct Given {
    const char* name;
    PyObject* value;
    bool taken;
  };
  const std::string& operation;
  const int threads, components;
  std::vector<int> start, offset, component;  // the tables of the shape, and (N,)
  Shape shape{};
  std::vector<Given> given;
  std::size_t next = 0;
  const char* first = nullptr;  // the name of the first float tensor
  std::vector<long long> begin;

  PyObject* take(const char* name);
  std::uintptr_t address(const Field& field, PyObject* tensor) const;
  std::string names(bool taken) const;
  std::string sentence(const char* name, const std::string& text) const;
};

long padded_rows(long rows, bool is_double, bool is_cuda);

using Operations = std::map<std::string, long (*)(Arguments&)>;

}  // namespace epure
