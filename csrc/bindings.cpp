// The Python module. `run` calls an operation by its name with arguments by theirs, and returns the first bad row. No
// torch header is included, so that the module builds without torch and outlives its upgrades.
#include "arguments.h"
#include "cpu/kernels.h"
#include "cpu/masks.h"
#include "cpu/pool.h"
#include "cuda/launch.h"
#include "tables.h"

using namespace epure;

namespace {

template <class T, class Call>
long run_kernel(Arguments& a, const Kernels<T>& kernels, long (*Kernels<T>::*kernel)(const Call&), bool backward) {
  Call call{};
  static_cast<Batch&>(call) = a.batch();
  fill(a, call, backward);
  a.finish();
  py::gil_scoped_release free;
  return (kernels.*kernel)(call);
}

template <auto f32, auto f64, bool backward = false>
long on_cpu(Arguments& a) {
  const InstructionSet& set = instruction_set();
  return a.is_double ? run_kernel(a, set.f64, f64, backward) : run_kernel(a, set.f32, f32, backward);
}

using F32 = Kernels<float>;
using F64 = Kernels<double>;
const Operations cpu_operations{
    {"assemble", on_cpu<&F32::assemble, &F64::assemble>},
    {"assemble_backward", on_cpu<&F32::assemble_backward, &F64::assemble_backward, true>},
    {"elbo", on_cpu<&F32::elbo_forward, &F64::elbo_forward>},
    {"elbo_backward", on_cpu<&F32::elbo_backward, &F64::elbo_backward, true>},
    {"condition", on_cpu<&F32::condition, &F64::condition>},
    {"condition_shared", on_cpu<&F32::condition_shared, &F64::condition_shared>},
    {"factor_orders", on_cpu<&F32::factor_orders, &F64::factor_orders>},
    {"evidence", on_cpu<&F32::evidence_forward, &F64::evidence_forward>},
    {"evidence_backward", on_cpu<&F32::evidence_backward, &F64::evidence_backward, true>},
};

long run(const std::string& name, const std::vector<int>& sizes, long rows, int threads, const py::dict& given) {
  Arguments arguments(name, sizes, rows, threads, given);
  const Operations& operations = arguments.is_cuda ? cuda_operations() : cpu_operations;
  const auto found = operations.find(name);
  if (found == operations.end()) throw py::type_error("no operation is called " + name);
  return found->second(arguments);
}

std::vector<long long> grouped(long rows, int components, const py::dict& given) {
  const std::string name = "group_rows";
  Arguments a(name, std::vector<int>(std::size_t(components), 1), rows, 1, given);
  const unsigned char* mask;
  long long* order;
  a.fill({{"mask", mask, rows * components}, {"order", order, rows}});
  a.finish();
  py::gil_scoped_release free;
  return group_rows(rows, components, mask, order);
}

// Numbers in the buffers `prior` and `factors` of the fused step; without factors the reverse pass factorises again.
py::tuple elbo_kept(int n, long rows, bool is_double, bool is_cuda) {
  constexpr long kMost = 16L << 20;  // bytes, beyond which a factor is dearer to write and read than to compute again
  const int np = n + n % 2;
  const long factors = padded_rows(rows, is_double, is_cuda) * factor_size(np);
  const bool keep = is_cuda || factors * (is_double ? 8 : 4) <= kMost;
  return py::make_tuple(prior_size(np), keep ? factors : 0);
}

long evidence_kept(int n, long rows, bool is_double, bool is_cuda) {
  return padded_rows(rows, is_double, is_cuda) * square(n + n % 2);
}

}  // namespace

PYBIND11_MODULE(_epure_native, m) {
  m.doc() = "Batched Gaussian kernels of epure; epurecli/gmrf/native calls them.";
  m.def("run", &run, "The operation `name` on tensors by name. -> the first bad row, or -1");
  m.def("group_rows", &grouped);
  m.def("elbo_kept", &elbo_kept);
  m.def("evidence_kept", &evidence_kept);
  m.def("share_openmp", &share_openmp, "Run on torch's OpenMP pool: the address of its GOMP_parallel, 0 for own threads.");
  m.def("exchange_through", &exchange_through, "Look at tensors through torch's DLPack capsule; None: by their members.");
  m.def("pool", &pool_name);
  m.def("isa", [] { return std::string(instruction_set().name); });
  define_cuda(m);
}
