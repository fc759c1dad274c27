// Shared by every body: the host/device mark, the packed shape of a covariance, and what a "team" is.
//
// A matrix is handled by one team. On the CPU a team is one thread whose values are SIMD vectors, each lane another
// matrix of the batch (V = Lanes). Under nvcc a team is a warp and V a plain float or double.
#pragma once

#include <cstddef>

#if defined(__CUDACC__)
#define EPURE_HD __host__ __device__ __forceinline__
#define EPURE_UNROLL _Pragma("unroll")
#define EPURE_ROLL _Pragma("unroll 1")
#elif defined(_MSC_VER)
#define EPURE_HD inline
#define EPURE_UNROLL
#define EPURE_ROLL
#else
#define EPURE_HD inline __attribute__((always_inline))
#define EPURE_UNROLL _Pragma("GCC unroll 8")
#define EPURE_ROLL _Pragma("GCC unroll 1")  // twice the code would spill the accumulators
#endif

// Keeps a value that was read from memory in a register: the compiler would read it again for each of its uses, and the
// tiles would wait for loads instead of multiplying.
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__CUDACC__)
#define EPURE_KEEP(x) asm("" : "+v"(x))
#else
#define EPURE_KEEP(x)
#endif

// Each instruction set compiles the headers into a namespace of its own, or the linker would mix their code up.
#ifndef EPURE_ISA
#define EPURE_ISA generic
#endif

namespace epure {

constexpr double kDelta = 1e-8;  // a row without coupling is not divided by zero

// Layout of one covariance. Row i's free entries are columns 0 .. start[i]-1, packed from offset[i] on.
struct Shape {
  int n;              // latent size N
  int np;             // N rounded up to even: matrices are walked in pairs of rows
  int k;              // packed coupling size K
  const int* start;   // (np,)
  const int* offset;  // (np,)
};

// Entries of a lower triangle stored by pairs of columns, see columns_at.
EPURE_HD int packed_columns(int np) {
  const int half = np / 2;
  return 2 * half * (half + 1);
}

// Base of the column pair that holds column j, shifted so that row k of it lies at 2 * k + (j & 1).
EPURE_HD int columns_at(int np, int j) {
  const int pair = j / 2;
  return 2 * (pair * np - pair * (pair - 1)) - 4 * pair;
}

// The team of one: a CPU thread.
struct Solo {
  static constexpr bool alone = true;
  EPURE_HD int rank() const { return 0; }
  EPURE_HD int size() const { return 1; }
  EPURE_HD void sync() const {}
  template <class V>
  EPURE_HD V sum(V x) const { return x; }  // over the team, whole at rank 0
};

}  // namespace epure
