// One value per matrix: SIMD vectors on the CPU (a lane = a matrix), scalars under nvcc. Only what the kernels need.
#pragma once

#include <math.h>

#include "common.h"

namespace epure {
namespace EPURE_ISA {

template <class V>
struct Traits;

template <>
struct Traits<float> {
  using Scalar = float;
  static constexpr int width = 1;
};
template <>
struct Traits<double> {
  using Scalar = double;
  static constexpr int width = 1;
};

EPURE_HD float root(float x) { return sqrtf(x); }
EPURE_HD double root(double x) { return sqrt(x); }
EPURE_HD float magnitude(float x) { return fabsf(x); }
EPURE_HD double magnitude(double x) { return fabs(x); }
EPURE_HD float choose(bool which, float a, float b) { return which ? a : b; }
EPURE_HD double choose(bool which, double a, double b) { return which ? a : b; }
EPURE_HD float lane(float x, int) { return x; }
EPURE_HD double lane(double x, int) { return x; }
EPURE_HD void set_lane(float& x, int, float to) { x = to; }
EPURE_HD void set_lane(double& x, int, double to) { x = to; }

// x = m 2^e with |m| in [1, 2): returns m and adds e to `exponent`.
EPURE_HD float mantissa(float x, float& exponent) {
  int e;
  const float m = frexpf(x, &e);
  exponent += float(e - 1);
  return 2 * m;
}
EPURE_HD double mantissa(double x, double& exponent) {
  int e;
  const double m = frexp(x, &e);
  exponent += double(e - 1);
  return 2 * m;
}

#if !defined(__CUDACC__)

#if defined(__GNUC__)
template <class T, int W>
struct Wide {
  typedef T type __attribute__((vector_size(W * sizeof(T))));
};
template <class T, int W>
using Lanes = typename Wide<T, W>::type;

template <class T>
struct Bits;
template <>
struct Bits<float> {
  using Integer = int;
  static constexpr int shift = 23, bias = 127;
};
template <>
struct Bits<double> {
  using Integer = long long;
  static constexpr int shift = 52, bias = 1023;
};

#define EPURE_LANES(T, W)                                                                   \
  template <>                                                                               \
  struct Traits<Lanes<T, W>> {                                                              \
    using Scalar = T;                                                                       \
    static constexpr int width = W;                                                         \
  };                                                                                        \
  EPURE_HD Lanes<T, W> root(Lanes<T, W> x) {                                                \
    Lanes<T, W> y = x;                                                                      \
    for (int l = 0; l < W; ++l) y[l] = root(T(x[l]));                                       \
    return y;                                                                               \
  }                                                                                         \
  EPURE_HD Lanes<T, W> magnitude(Lanes<T, W> x) { return x < T(0) ? -x : x; }               \
  template <class Mask>                                                                     \
  EPURE_HD Lanes<T, W> choose(Mask which, Lanes<T, W> a, Lanes<T, W> b) {                   \
    return which ? a : b;                                                                   \
  }                                                                                         \
  /* the exponent's bits: for positive normal numbers (another pivot was reported as bad) */ \
  EPURE_HD Lanes<T, W> mantissa(Lanes<T, W> x, Lanes<T, W>& exponent) {                     \
    using I = Lanes<Bits<T>::Integer, W>;                                                   \
    const I bits = (I)x, low = ((I{} + 1) << Bits<T>::shift) - 1;                           \
    const I bias = I{} + Bits<T>::bias;                                                     \
    exponent += __builtin_convertvector((bits >> Bits<T>::shift) - bias, Lanes<T, W>);      \
    return (Lanes<T, W>)((bits & low) | (bias << Bits<T>::shift));                          \
  }                                                                                         \
  EPURE_HD T lane(Lanes<T, W> x, int l) { return x[l]; }                                    \
  EPURE_HD void set_lane(Lanes<T, W>& x, int l, T to) { x[l] = to; }
#else  // a compiler without vector extensions: the same values, left to its auto-vectoriser
template <class T, int W>
struct Lanes {
  T at[W];
};
template <int W>
struct LaneMask {
  bool at[W];
};
#define EPURE_LANE_BINARY(OP)                                            \
  template <class T, int W>                                              \
  inline Lanes<T, W> operator OP(Lanes<T, W> a, const Lanes<T, W>& b) {  \
    for (int l = 0; l < W; ++l) a.at[l] = a.at[l] OP b.at[l];            \
    return a;                                                            \
  }                                                                      \
  template <class T, int W>                                              \
  inline Lanes<T, W> operator OP(Lanes<T, W> a, T b) {                   \
    for (int l = 0; l < W; ++l) a.at[l] = a.at[l] OP b;                  \
    return a;                                                            \
  }                                                                      \
  template <class T, int W>                                              \
  inline Lanes<T, W> operator OP(T a, Lanes<T, W> b) {                   \
    for (int l = 0; l < W; ++l) b.at[l] = a OP b.at[l];                  \
    return b;                                                            \
  }                                                                      \
  template <class T, int W>                                              \
  inline Lanes<T, W>& operator OP##=(Lanes<T, W>& a, const Lanes<T, W>& b) { \
    return a = a OP b;                                                   \
  }
#define EPURE_LANE_COMPARE(OP)                                           \
  template <class T, int W>                                              \
  inline LaneMask<W> operator OP(const Lanes<T, W>& a, const Lanes<T, W>& b) { \
    LaneMask<W> m;                                                       \
    for (int l = 0; l < W; ++l) m.at[l] = a.at[l] OP b.at[l];            \
    return m;                                                            \
  }                                                                      \
  template <class T, int W>                                              \
  inline LaneMask<W> operator OP(const Lanes<T, W>& a, T b) {            \
    LaneMask<W> m;                                                       \
    for (int l = 0; l < W; ++l) m.at[l] = a.at[l] OP b;                  \
    return m;                                                            \
  }
EPURE_LANE_BINARY(+)
EPURE_LANE_BINARY(-)
EPURE_LANE_BINARY(*)
EPURE_LANE_BINARY(/)
EPURE_LANE_COMPARE(<)
EPURE_LANE_COMPARE(>)
EPURE_LANE_COMPARE(==)
template <class T, int W>
inline Lanes<T, W> operator-(Lanes<T, W> a) {
  for (int l = 0; l < W; ++l) a.at[l] = -a.at[l];
  return a;
}
#define EPURE_LANES(T, W)                                                                   \
  template <>                                                                               \
  struct Traits<Lanes<T, W>> {                                                              \
    using Scalar = T;                                                                       \
    static constexpr int width = W;                                                         \
  };                                                                                        \
  inline Lanes<T, W> root(Lanes<T, W> x) {                                                  \
    for (int l = 0; l < W; ++l) x.at[l] = root(x.at[l]);                                    \
    return x;                                                                               \
  }                                                                                         \
  inline Lanes<T, W> magnitude(Lanes<T, W> x) {                                             \
    for (int l = 0; l < W; ++l) x.at[l] = magnitude(x.at[l]);                               \
    return x;                                                                               \
  }                                                                                         \
  inline Lanes<T, W> choose(LaneMask<W> which, Lanes<T, W> a, const Lanes<T, W>& b) {       \
    for (int l = 0; l < W; ++l) a.at[l] = which.at[l] ? a.at[l] : b.at[l];                  \
    return a;                                                                               \
  }                                                                                         \
  inline Lanes<T, W> mantissa(Lanes<T, W> x, Lanes<T, W>& exponent) {                       \
    for (int l = 0; l < W; ++l) x.at[l] = mantissa(x.at[l], exponent.at[l]);                \
    return x;                                                                               \
  }                                                                                         \
  inline T lane(const Lanes<T, W>& x, int l) { return x.at[l]; }                            \
  inline void set_lane(Lanes<T, W>& x, int l, T to) { x.at[l] = to; }
#endif

#if defined(EPURE_BYTES)
EPURE_LANES(float, EPURE_BYTES / 4)
EPURE_LANES(double, EPURE_BYTES / 8)
#endif

#endif  // !__CUDACC__

template <class V>
using ScalarOf = typename Traits<V>::Scalar;

template <class V>
EPURE_HD V splat(ScalarOf<V> x) {
  V v;
  for (int l = 0; l < Traits<V>::width; ++l) set_lane(v, l, x);
  return v;
}

template <class V>
EPURE_HD V sign(V x) {
  const V zero = splat<V>(0), one = splat<V>(1);
  return choose(x > zero, one, choose(x < zero, V(zero - one), zero));
}

}  // namespace EPURE_ISA
}  // namespace epure
