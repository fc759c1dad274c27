// Python's door to the CUDA body: device pointers and a stream handle in, errors raised.
#include "launch.h"

#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "calls.h"

namespace py = pybind11;

namespace epure {
namespace {

using Address = std::uintptr_t;
template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

void check(int error) {
  if (error) throw std::runtime_error(std::string("CUDA: ") + cuda::describe(error));
}

// `layout`: (n, k, device pointer of start, of offset); start and offset have np entries.
template <class T>
cuda::Call<T> call_for(const std::vector<Address>& layout, long rows, double shrink, Address scratch) {
  cuda::Call<T> call{};
  const int n = int(layout[0]);
  call.shape = Shape{n, n + n % 2, int(layout[1]), at<int>(layout[2]), at<int>(layout[3])};
  call.rows = rows;
  call.shrink = T(shrink);
  call.scratch = at<T>(scratch);
  return call;
}

template <class T>
void elbo_forward(const std::vector<Address>& layout, long rows, double shrink, Address scratch, Address stream,
                  Address mean, Address variance, Address coupling, Address noise, Address prior, Address sample,
                  Address kl, Address factors, Address bad) {
  auto call = call_for<T>(layout, rows, shrink, scratch);
  call.mean = at<T>(mean);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  call.noise = at<T>(noise);
  call.prior = at<T>(prior);
  call.sample = at<T>(sample);
  call.kl = at<T>(kl);
  call.factors = at<T>(factors);
  call.bad = at<int>(bad);
  check(cuda::elbo_forward(call, stream));
}

template <class T>
void elbo_backward(const std::vector<Address>& layout, long rows, double shrink, Address scratch, Address stream,
                   Address mean, Address variance, Address coupling, Address noise, Address prior, Address factors,
                   Address dsample, Address dkl, Address dmean, Address dvariance, Address dcoupling, Address sums) {
  auto call = call_for<T>(layout, rows, shrink, scratch);
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
  call.sums = at<T>(sums);
  check(cuda::elbo_backward(call, stream));
}

template <class T>
void assemble(const std::vector<Address>& layout, long rows, double shrink, Address stream, Address variance,
              Address coupling, Address covariance) {
  auto call = call_for<T>(layout, rows, shrink, 0);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  call.tril = at<T>(covariance);
  check(cuda::assemble(call, stream));
}

template <class T>
void condition(const std::vector<Address>& layout, long rows, double shrink, Address scratch, Address stream,
               Address mean, Address variance, Address coupling, Address covariance, Address observed, Address noise,
               Address mask, Address component, int components, Address centre, Address sample, Address tril,
               Address bad) {
  auto call = call_for<T>(layout, rows, shrink, scratch);
  call.mean = at<T>(mean);
  call.variance = at<T>(variance);
  call.coupling = at<T>(coupling);
  call.covariance = at<T>(covariance);
  call.observed = at<T>(observed);
  call.noise = at<T>(noise);
  call.mask = at<unsigned char>(mask);
  call.component = at<int>(component);
  call.components = components;
  call.centre = at<T>(centre);
  call.sample = at<T>(sample);
  call.tril = at<T>(tril);
  call.bad = at<int>(bad);
  check(cuda::condition(call, stream));
}

template <class T>
cuda::EvidenceCall<T> evidence_call(int n, long rows, Address scratch, Address centre, Address precision, Address noise,
                                    Address mask, Address component, int components, Address mean, Address turned) {
  cuda::EvidenceCall<T> call{};
  call.shape = Shape{n, n + n % 2, 0, nullptr, nullptr};
  call.rows = rows;
  call.scratch = at<T>(scratch);
  call.centre = at<T>(centre);
  call.precision = at<T>(precision);
  call.noise = at<T>(noise);
  call.mask = at<unsigned char>(mask);
  call.component = at<int>(component);
  call.components = components;
  call.mean = at<T>(mean);
  call.turned = at<T>(turned);
  return call;
}

template <class T>
void evidence_forward(int n, long rows, Address scratch, Address stream, Address centre, Address precision,
                      Address noise, Address mask, Address component, int components, Address mean, Address turned,
                      bool keep, Address prior, Address sample, Address kl, Address tril, Address bad) {
  auto call = evidence_call<T>(n, rows, scratch, centre, precision, noise, mask, component, components, mean, turned);
  call.keep = keep;
  call.prior = at<T>(prior);
  call.sample = at<T>(sample);
  call.kl = at<T>(kl);
  call.tril = at<T>(tril);
  call.bad = at<int>(bad);
  check(cuda::evidence_forward(call, stream));
}

template <class T>
void evidence_backward(int n, long rows, Address scratch, Address stream, Address centre, Address precision,
                       Address noise, Address mask, Address component, int components, Address mean, Address turned,
                       Address dmean, Address dsample, Address dkl, Address dcentre, Address dprecision) {
  auto call = evidence_call<T>(n, rows, scratch, centre, precision, noise, mask, component, components, mean, turned);
  call.dmean = at<T>(dmean);
  call.dsample = at<T>(dsample);
  call.dkl = at<T>(dkl);
  call.dcentre = at<T>(dcentre);
  call.dprecision = at<T>(dprecision);
  check(cuda::evidence_backward(call, stream));
}

template <class T>
void define(py::module_& m, const std::string& suffix) {
  const auto name = [&](const char* op) { return "cuda_" + (op + suffix); };
  m.def(name("elbo_forward").c_str(), &elbo_forward<T>);
  m.def(name("elbo_backward").c_str(), &elbo_backward<T>);
  m.def(name("assemble").c_str(), &assemble<T>);
  m.def(name("condition").c_str(), &condition<T>);
  m.def(name("evidence_forward").c_str(), &evidence_forward<T>);
  m.def(name("evidence_backward").c_str(), &evidence_backward<T>);
}

}  // namespace

void define_cuda(py::module_& m) {
  m.attr("cuda") = true;
  define<float>(m, "_f32");
  define<double>(m, "_f64");
  m.attr("cuda_teams") = cuda::kMaxTeams;
  m.def("cuda_scratch", [](int n, bool twice) {
    return twice ? cuda::scratch_size<double>(n + n % 2) : cuda::scratch_size<float>(n + n % 2);
  });
}

}  // namespace epure
