#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace epure {
namespace {

struct Job {
  void (*body)(void*, int);
  void* data;
  std::atomic<int> rank{0};
};

using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
std::atomic<GompParallel> gomp{nullptr};

void enter(void* data) {
  Job& job = *static_cast<Job*>(data);
  job.body(job.data, job.rank.fetch_add(1));
}

long process() {
#if defined(_WIN32)
  return 0;
#else
  return long(getpid());
#endif
}

// A pool that sleeps between jobs.
class Pool {
 public:
  void run(int threads, Job& job) {
    std::lock_guard<std::mutex> one(entrance_);
    grow(threads - 1);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      open_ = threads - 1;
      ++generation_;
    }
    wake_.notify_all();
    enter(&job);
    std::unique_lock<std::mutex> lock(mutex_);
    open_ = 0;  // who has not come by now is not needed: the items are all taken
    done_.wait(lock, [&] { return running_ == 0; });
    job_ = nullptr;
  }

 private:
  void grow(int count) {
    if (process() != owner_) {  // after a fork the threads are the parent's
      workers_ = 0;
      owner_ = process();
    }
    for (; workers_ < count; ++workers_) std::thread([this] { work(); }).detach();
  }

  void work() {
    std::uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return open_ > 0 && generation_ != seen; });
      seen = generation_;
      --open_;
      ++running_;
      Job* job = job_;
      lock.unlock();
      enter(job);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex entrance_, mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int open_ = 0, running_ = 0, workers_ = 0;
  std::uint64_t generation_ = 0;
  long owner_ = process();
};

Pool& pool() {
  static Pool* one = new Pool;  // never destroyed: detached workers wait on it
  return *one;
}

struct Buffer {
  void* start = nullptr;
  std::size_t bytes = 0;
  ~Buffer() { release(); }
  void release() {
    if (start) ::operator delete(start, std::align_val_t(64));
    start = nullptr;
    bytes = 0;
  }
};

}  // namespace

void run_parallel(int threads, void (*body)(void*, int), void* data) {
  if (threads <= 1) {
    body(data, 0);
    return;
  }
  Job job;
  job.body = body;
  job.data = data;
  if (GompParallel shared = gomp.load())
    shared(enter, &job, unsigned(threads), 0);
  else
    pool().run(threads, job);
}

long take(Counter& counter) {
#if defined(_MSC_VER)
  return reinterpret_cast<std::atomic<long>&>(counter.next).fetch_add(1);
#else
  return __atomic_fetch_add(&counter.next, 1, __ATOMIC_RELAXED);
#endif
}

void* scratch(std::size_t bytes) {
  static thread_local Buffer buffer;
  if (buffer.bytes < bytes) {
    buffer.release();
    buffer.start = ::operator new(bytes, std::align_val_t(64));
    buffer.bytes = bytes;
  }
  return buffer.start;
}

void advise_huge(void* start, std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = std::uintptr_t(2) << 20;
  if (bytes < 2 * page) return;
  const std::uintptr_t from = (reinterpret_cast<std::uintptr_t>(start) + page - 1) & ~(page - 1);
  const std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(start) + bytes) & ~(page - 1);
  if (to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);  // advice: failing costs time only
#else
  (void)start;
  (void)bytes;
#endif
}

void share_openmp(std::size_t gomp_parallel) { gomp.store(reinterpret_cast<GompParallel>(gomp_parallel)); }

const char* pool_name() { return gomp.load() ? "torch's OpenMP threads" : "own threads"; }

}  // namespace epure
