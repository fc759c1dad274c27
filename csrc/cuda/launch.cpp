// The operations on a GPU: the fields that a launch has beside the operation's own, and its error raised.
#include "launch.h"

#include <algorithm>
#include <stdexcept>

#include "../tables.h"
#include "calls.h"

namespace epure {
namespace {

long teams(const Arguments& a) { return std::min<long>(a.rows, cuda::kMaxTeams); }

// What only some launches have.
template <class T>
void fill_more(Arguments& a, cuda::ElboCall<T>& call, bool) {
  a.fill({{"sums", call.sums, teams(a) * (square(call.shape.np) + call.shape.np), kOptional}});
}

template <class T>
void fill_more(Arguments& a, cuda::EvidenceCall<T>& call, bool backward) {
  const long matrix = square(call.shape.np);
  a.fill({{"prior", call.prior, matrix + call.shape.np, backward ? kOptional : 0u},
          {"spare", call.spare, teams(a) * matrix, kOptional}});
  a.either("spare", call.spare, "kept", call.kept);
}

template <class T>
void fill_more(Arguments&, cuda::AssembleCall<T>&, bool) {}

template <class T>
void fill_more(Arguments&, cuda::ConditionCall<T>&, bool) {}

template <class T, template <class> class Call>
long launch(Arguments& a, int (*kernel)(const Call<T>&), bool backward) {
  Call<T> call{};
  static_cast<Batch&>(call) = a.batch();
  const long np = call.shape.np;
  const int* tables;
  a.fill({{"tables", tables, 2 * np + call.shape.n},
          {"scratch", call.scratch, cuda::scratch_size<T>(int(np)) * teams(a), kOptional},
          {"bad", call.bad, a.rows}});
  call.shape.start = tables;
  call.shape.offset = tables + np;
  call.component = tables + 2 * np;
  call.stream = a.integer("stream");
  fill(a, call, backward);
  fill_more(a, call, backward);
  a.finish();
  if (const int error = kernel(call)) throw std::runtime_error(std::string("CUDA: ") + cuda::describe(error));
  return -1;  // `bad` says which rows are
}

template <auto f32, auto f64, bool backward = false>
long on_gpu(Arguments& a) {
  return a.is_double ? launch(a, f64, backward) : launch(a, f32, backward);
}

}  // namespace

const Operations& cuda_operations() {
  static const Operations all{
      {"assemble", on_gpu<&cuda::assemble<float>, &cuda::assemble<double>>},
      {"elbo", on_gpu<&cuda::elbo_forward<float>, &cuda::elbo_forward<double>>},
      {"elbo_backward", on_gpu<&cuda::elbo_backward<float>, &cuda::elbo_backward<double>, true>},
      {"condition", on_gpu<&cuda::condition<float>, &cuda::condition<double>>},
      {"evidence", on_gpu<&cuda::evidence_forward<float>, &cuda::evidence_forward<double>>},
      {"evidence_backward", on_gpu<&cuda::evidence_backward<float>, &cuda::evidence_backward<double>, true>},
  };
  return all;
}

void define_cuda(py::module_& m) {
  m.attr("cuda") = true;
  m.attr("cuda_teams") = cuda::kMaxTeams;
  m.def("cuda_scratch", [](int n, bool is_double) {
    return is_double ? cuda::scratch_size<double>(n + n % 2) : cuda::scratch_size<float>(n + n % 2);
  });
}

}  // namespace epure
