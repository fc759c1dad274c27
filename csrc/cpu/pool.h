// Threads and buffers of the CPU body.
#pragma once

#include <cstddef>

namespace epure {

// Runs body(data, rank) on up to `threads` threads, ranks counted from 0; returns when all have finished.
void run_parallel(int threads, void (*body)(void*, int), void* data);

// Hands work items 0, 1, 2, ... to whoever asks.
struct Counter {
  long next = 0;
};
long take(Counter& counter);

// This thread's scratch memory, 64-byte aligned, kept for the next call. Throws std::bad_alloc.
void* scratch(std::size_t bytes);

// Asks for 2 MiB pages for a large fresh buffer: its first touch then costs 26 page faults instead of 13,000.
void advise_huge(void* start, std::size_t bytes);

// Runs on the OpenMP pool that torch already has (the address of its GOMP_parallel; 0: threads of our own). Two pools
// on one small machine spin against each other.
void share_openmp(std::size_t gomp_parallel);
const char* pool_name();

}  // namespace epure
