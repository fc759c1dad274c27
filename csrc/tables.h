// Which arguments each call has, by name: the tables that fill the structs, for either device.
#pragma once

#include "arguments.h"
#include "calls.h"

namespace epure {

template <class T>
void fill(Arguments& a, ElboCall<T>& call, bool backward) {
  const long n = call.shape.n, numbers = a.rows * n, np = call.shape.np;
  call.shrink = T(a.number("shrink"));
  a.fill({{"mean", call.mean, numbers},
          {"variance", call.variance, numbers},
          {"coupling", call.coupling, a.rows * call.shape.k},
          {"noise", call.noise, numbers},
          {"prior", call.prior, prior_size(int(np))},
          {"factors", call.factors, a.padded_rows() * factor_size(int(np)),
           kAligned | (backward && a.is_cuda ? 0u : kOptional)}});
  if (!backward)
    return a.fill({{"prior_mean", call.prior_mean, n},
                   {"prior_tril", call.prior_tril, n * n},
                   {"sample", call.sample, numbers},
                   {"kl", call.kl, a.rows}});
  a.fill({{"dsample", call.dsample, numbers},
          {"dkl", call.dkl, a.rows},
          {"dmean", call.dmean, numbers},
          {"dvariance", call.dvariance, numbers},
          {"dcoupling", call.dcoupling, a.rows * call.shape.k, kFresh},
          {"dprior_mean", call.dprior_mean, n, kOptional},
          {"dprior_tril", call.dprior_tril, n * n, kOptional}});
  a.together("dprior_mean", call.dprior_mean, "dprior_tril", call.dprior_tril);
}

template <class T>
void fill(Arguments& a, AssembleCall<T>& call, bool backward) {
  const long n = call.shape.n, numbers = a.rows * n, couplings = a.rows * call.shape.k;
  call.shrink = T(a.number("shrink"));
  a.fill({{"variance", call.variance, numbers}, {"coupling", call.coupling, couplings}});
  if (!backward) return a.fill({{"covariance", call.covariance, numbers * n, kFresh}});
  a.fill({{"dcovariance", call.dcovariance, numbers * n},
          {"dvariance", call.dvariance, numbers},
          {"dcoupling", call.dcoupling, couplings, kFresh}});
}

inline void fill(Arguments& a, MaskGroups& groups) {
  a.fill({{"order", groups.order, a.rows}});
  if (!a.is_cuda) a.demand_below("order", groups.order, a.rows, a.rows);
  groups.begin = a.bounds("begin", groups.masks);
}

template <class T>
void fill(Arguments& a, ConditionCall<T>& call, bool) {
  const long n = call.shape.n, numbers = a.rows * n;
  call.shrink = T(a.number("shrink"));
  a.fill({{"mean", call.mean, numbers},
          {"variance", call.variance, numbers, kOptional},
          {"coupling", call.coupling, a.rows * call.shape.k, kOptional},
          {"covariance", call.covariance, numbers * n, kOptional},
          {"observed", call.observed, numbers},
          {"noise", call.noise, numbers, kOptional},
          {"mask", call.mask, a.rows * call.components},
          {"centre", call.centre, numbers, kFresh},
          {"sample", call.sample, numbers, kOptional | kFresh},
          {"tril", call.tril, numbers * n, kOptional}});
  fill(a, static_cast<MaskGroups&>(call));
  a.together("noise", call.noise, "sample", call.sample);
  a.together("variance", call.variance, "coupling", call.coupling);
  a.either("covariance", call.covariance, "coupling", call.coupling);
}

template <class T>
void fill(Arguments& a, SharedCall<T>& call, bool) {
  const long n = call.shape.n, numbers = a.rows * n;
  fill(a, static_cast<MaskGroups&>(call));
  a.fill({{"prior_mean", call.prior_mean, n},
          {"factor", call.factor, call.masks * n * n},
          {"observed", call.observed, numbers},
          {"noise", call.noise, numbers, kOptional},
          {"mask", call.mask, call.masks * call.components},
          {"centre", call.centre, numbers, kFresh},
          {"sample", call.sample, numbers, kOptional | kFresh}});
  a.together("noise", call.noise, "sample", call.sample);
}

template <class T>
void fill(Arguments& a, OrdersCall<T>& call, bool) {
  const long n = call.shape.n;
  a.fill({{"matrix", call.matrix, n * n}, {"order", call.order, a.rows * n}, {"factor", call.factor, a.rows * n * n}});
  a.demand_below("order", call.order, a.rows * n, n);
}

template <class T>
void fill(Arguments& a, EvidenceCall<T>& call, bool backward) {
  const long n = call.shape.n, numbers = a.rows * n;
  a.fill({{"centre", call.centre, numbers},
          {"precision", call.precision, numbers},
          {"mask", call.mask, a.rows * call.components},
          {"noise", call.noise, numbers, kOptional},
          {"mean", call.mean, numbers},
          {"kept", call.kept, a.padded_rows() * square(call.shape.np), kAligned | (backward ? 0u : kOptional)}});
  if (!backward)
    return a.fill({{"prior_mean", call.prior_mean, n},
                   {"prior_tril", call.prior_tril, n * n},
                   {"sample", call.sample, numbers, kOptional},
                   {"kl", call.kl, a.rows},
                   {"tril", call.tril, numbers * n, kOptional}});
  a.fill({{"dmean", call.dmean, numbers, kOptional},
          {"dsample", call.dsample, numbers, kOptional},
          {"dkl", call.dkl, a.rows, kOptional},
          {"dcentre", call.dcentre, numbers},
          {"dprecision", call.dprecision, numbers}});
}

}  // namespace epure
