// The Python module: raw pointers in, the first bad row out. Checks of shapes, types and devices are the caller's
// (epurecli/gmrf); no torch header is included, so that the module builds without torch and outlives its upgrades.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/masks.h"
#include "cpu/pool.h"
#include "cuda/launch.h"

namespace py = pybind11;
using namespace epure;

namespace {

// Arrays behind a Shape.
struct Layout {
  std::vector<int> start, offset, component;
  Shape shape{};
  explicit Layout(const std::vector<int>& sizes) {
    int from = 0, k = 0, at = 0;
    for (int size : sizes) {
      for (int i = 0; i < size; ++i) {
        component.push_back(at);
        start.push_back(from);
        offset.push_back(k);
        k += from;
      }
      from += size;
      ++at;
    }
    shape.n = from;
    shape.k = k;
    shape.np = from + from % 2;
    if (from % 2) {  // the padding row has no free entries
      start.push_back(0);
      offset.push_back(k);
    }
    shape.start = start.data();
    shape.offset = offset.data();
  }
};

using Address = std::uintptr_t;
template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

template <class T>
const Kernels<T>& kernels();
template <>
const Kernels<float>& kernels() {
  return body().single;
}
template <>
const Kernels<double>& kernels() {
  return body().twice;
}

constexpr long kKeepBytes = 16L << 20;  // beyond it a factor is dearer to write and read than to compute again

// Numbers in the buffers that the forward pass fills for the backward: what the prior shares, and the factors.
py::tuple elbo_kept(const std::vector<int>& sizes, long rows, bool twice) {
  const Layout layout(sizes);
  const int lanes = twice ? body().twice.lanes : body().single.lanes;
  const long factors = (rows + lanes - 1) / lanes * lanes * group_size(layout.shape.np);
  const bool keep = factors * (twice ? 8 : 4) <= kKeepBytes;
  return py::make_tuple(prior_size(layout.shape.np), keep ? factors : 0);
}

template <class T>
long elbo_forward(const std::vector<int>& sizes, long rows, int threads, double shrink, Address mean, Address variance,
                  Address coupling, Address noise, Address prior_mean, Address prior_tril, Address sample, Address kl,
                  Address prior, Address factors) {
  const Layout layout(sizes);
  ElboCall<T> call{};
  call.shape = layout.shape;
  call.rows = rows;
  call.threads = threads;
  call.shrink = T(shrink);
  call.mean = at<T>(mean);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  call.noise = at<T>(noise);
  call.prior_mean = at<T>(prior_mean);
  call.prior_tril = at<T>(prior_tril);
  call.sample = at<T>(sample);
  call.kl = at<T>(kl);
  call.prior = at<T>(prior);
  call.factors = at<T>(factors);
  py::gil_scoped_release free;
  return kernels<T>().elbo_forward(call);
}

template <class T>
void elbo_backward(const std::vector<int>& sizes, long rows, int threads, double shrink, Address mean,
                   Address variance, Address coupling, Address noise, Address prior, Address factors, Address dsample,
                   Address dkl, Address dmean, Address dvariance, Address dcoupling, Address dprior_mean,
                   Address dprior_tril) {
  const Layout layout(sizes);
  ElboCall<T> call{};
  call.shape = layout.shape;
  call.rows = rows;
  call.threads = threads;
  call.shrink = T(shrink);
  call.mean = at<T>(mean);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  call.noise = at<T>(noise);
  call.prior = at<T>(prior);
  call.factors = at<T>(factors);
  call.dsample = at<T>(dsample);
  call.dkl = at<T>(dkl);
  call.dmean = at<T>(dmean);
  call.dvariance = at<T>(dvariance);
  call.dcoupling = at<T>(dcoupling);
  call.dprior_mean = at<T>(dprior_mean);
  call.dprior_tril = at<T>(dprior_tril);
  py::gil_scoped_release free;
  advise_huge(call.dcoupling, sizeof(T) * std::size_t(rows) * layout.shape.k);
  kernels<T>().elbo_backward(call);
}

template <class T>
AssembleCall<T> assemble_call(const Layout& layout, long rows, int threads, double shrink, Address variance,
                              Address coupling) {
  AssembleCall<T> call{};
  call.shape = layout.shape;
  call.rows = rows;
  call.threads = threads;
  call.shrink = T(shrink);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  return call;
}

template <class T>
long assemble(const std::vector<int>& sizes, long rows, int threads, double shrink, Address variance, Address coupling,
              Address covariance) {
  const Layout layout(sizes);
  AssembleCall<T> call = assemble_call<T>(layout, rows, threads, shrink, variance, coupling);
  call.covariance = at<T>(covariance);
  py::gil_scoped_release free;
  advise_huge(call.covariance, sizeof(T) * std::size_t(rows) * layout.shape.n * layout.shape.n);
  return kernels<T>().assemble(call);
}

template <class T>
void assemble_backward(const std::vector<int>& sizes, long rows, int threads, double shrink, Address variance,
                       Address coupling, Address dcovariance, Address dvariance, Address dcoupling) {
  const Layout layout(sizes);
  AssembleCall<T> call = assemble_call<T>(layout, rows, threads, shrink, variance, coupling);
  call.dcovariance = at<T>(dcovariance);
  call.dvariance = at<T>(dvariance);
  call.dcoupling = at<T>(dcoupling);
  py::gil_scoped_release free;
  advise_huge(call.dcoupling, sizeof(T) * std::size_t(rows) * layout.shape.k);
  kernels<T>().assemble_backward(call);
}

// variance and coupling, or covariance: the other is 0.
template <class T>
long condition(const std::vector<int>& sizes, long rows, int threads, double shrink, Address mean, Address variance,
               Address coupling, Address covariance, Address observed, Address noise, Address mask, Address order,
               const std::vector<long long>& begin, Address centre, Address sample, Address tril) {
  const Layout layout(sizes);
  ConditionCall<T> call{};
  call.shape = layout.shape;
  call.rows = rows;
  call.threads = threads;
  call.shrink = T(shrink);
  call.mean = at<T>(mean);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  call.covariance = at<T>(covariance);
  call.observed = at<T>(observed);
  call.noise = at<T>(noise);
  call.mask = at<unsigned char>(mask);
  call.component = layout.component.data();
  call.components = int(sizes.size());
  call.order = at<long long>(order);
  call.masks = long(begin.size()) - 1;
  call.begin = begin.data();
  call.centre = at<T>(centre);
  call.sample = at<T>(sample);
  call.tril = at<T>(tril);
  py::gil_scoped_release free;
  advise_huge(call.centre, sizeof(T) * std::size_t(rows) * layout.shape.n);
  advise_huge(call.sample, call.sample ? sizeof(T) * std::size_t(rows) * layout.shape.n : 0);
  return kernels<T>().condition(call);
}

template <class T>
long factor_orders(int n, long orders, int threads, Address matrix, Address order, Address factor) {
  const OrdersCall<T> call{n, orders, threads, at<T>(matrix), at<long long>(order), at<T>(factor)};
  py::gil_scoped_release free;
  return kernels<T>().factor_orders(call);
}

template <class T>
long condition_shared(const std::vector<int>& sizes, long rows, int threads, Address prior_mean,
                      Address factor, Address observed, Address noise, Address masks, Address order,
                      const std::vector<long long>& begin, Address centre, Address sample) {
  const Layout layout(sizes);
  const int n = layout.shape.n;
  SharedCall<T> call{};
  call.n = n;
  call.rows = rows;
  call.masks = long(begin.size()) - 1;
  call.threads = threads;
  call.prior_mean = at<T>(prior_mean);
  call.factor = at<T>(factor);
  call.observed = at<T>(observed);
  call.noise = at<T>(noise);
  call.mask = at<unsigned char>(masks);
  call.component = layout.component.data();
  call.components = int(sizes.size());
  call.order = at<long long>(order);
  call.begin = begin.data();
  call.centre = at<T>(centre);
  call.sample = at<T>(sample);
  py::gil_scoped_release free;
  advise_huge(call.centre, sizeof(T) * std::size_t(rows) * n);
  advise_huge(call.sample, call.sample ? sizeof(T) * std::size_t(rows) * n : 0);
  return kernels<T>().condition_shared(call);
}

// Numbers that the forward pass keeps for the backward.
long evidence_kept(int n, long rows, bool twice) {
  const long np = n + n % 2, lanes = twice ? body().twice.lanes : body().single.lanes;
  return (rows + lanes - 1) / lanes * lanes * np * np;
}

template <class T>
EvidenceCall<T> evidence_call(const Layout& layout, int components, long rows, int threads, Address centre,
                              Address precision, Address mask, Address noise, Address mean, Address kept) {
  EvidenceCall<T> call{};
  call.n = layout.shape.n;
  call.rows = rows;
  call.threads = threads;
  call.centre = at<T>(centre);
  call.precision = at<T>(precision);
  call.noise = at<T>(noise);
  call.mask = at<unsigned char>(mask);
  call.component = layout.component.data();
  call.components = components;
  call.mean = at<T>(mean);
  call.kept = at<T>(kept);
  return call;
}

template <class T>
long evidence_forward(const std::vector<int>& sizes, long rows, int threads, Address prior_mean, Address prior_tril,
                      Address centre, Address precision, Address mask, Address noise, Address mean, Address sample,
                      Address kl, Address tril, Address kept) {
  const Layout layout(sizes);
  auto call = evidence_call<T>(layout, int(sizes.size()), rows, threads, centre, precision, mask, noise, mean, kept);
  call.prior_mean = at<T>(prior_mean);
  call.prior_tril = at<T>(prior_tril);
  call.sample = at<T>(sample);
  call.kl = at<T>(kl);
  call.tril = at<T>(tril);
  py::gil_scoped_release free;
  return kernels<T>().evidence_forward(call);
}

template <class T>
void evidence_backward(const std::vector<int>& sizes, long rows, int threads, Address centre, Address precision,
                       Address mask, Address noise, Address mean, Address kept, Address dmean, Address dsample,
                       Address dkl, Address dcentre, Address dprecision) {
  const Layout layout(sizes);
  auto call = evidence_call<T>(layout, int(sizes.size()), rows, threads, centre, precision, mask, noise, mean, kept);
  call.dmean = at<T>(dmean);
  call.dsample = at<T>(dsample);
  call.dkl = at<T>(dkl);
  call.dcentre = at<T>(dcentre);
  call.dprecision = at<T>(dprecision);
  py::gil_scoped_release free;
  kernels<T>().evidence_backward(call);
}

std::vector<long long> rows_by_mask(long rows, int components, Address mask, Address order) {
  py::gil_scoped_release free;
  return group_rows(rows, components, at<unsigned char>(mask), at<long long>(order));
}

template <class T>
void define(py::module_& m, const std::string& suffix) {
  const auto name = [&](const char* op) { return std::string(op) + suffix; };
  m.def(name("elbo_forward").c_str(), &elbo_forward<T>);
  m.def(name("elbo_backward").c_str(), &elbo_backward<T>);
  m.def(name("assemble").c_str(), &assemble<T>);
  m.def(name("assemble_backward").c_str(), &assemble_backward<T>);
  m.def(name("condition").c_str(), &condition<T>);
  m.def(name("factor_orders").c_str(), &factor_orders<T>);
  m.def(name("condition_shared").c_str(), &condition_shared<T>);
  m.def(name("evidence_forward").c_str(), &evidence_forward<T>);
  m.def(name("evidence_backward").c_str(), &evidence_backward<T>);
}

}  // namespace

PYBIND11_MODULE(_epure_native, m) {
  m.doc() = "Batched Gaussian kernels of epure on raw pointers; see epurecli/gmrf/_native.py for the safe callers.";
  define<float>(m, "_f32");
  define<double>(m, "_f64");
  m.def("group_rows", &rows_by_mask);
  m.def("elbo_kept", &elbo_kept);
  m.def("evidence_kept", &evidence_kept);
  m.def("share_openmp", &share_openmp, "Run on torch's OpenMP pool: the address of its GOMP_parallel, 0 for own threads.");
  m.def("pool", &pool_name);
  m.def("isa", [] { return std::string(body().name); });
  define_cuda(m);
}
