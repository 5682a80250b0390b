// Threads that help with a job while they can, and that nobody waits for.
//
// A job is a sequence of phases, each a number of pieces that are claimed one by one. A thread goes
// on to the next phase when all pieces of this one are done, whether or not every thread took part:
// on a machine shared with other processes, a helper that the kernel has put aside for a
// millisecond holds up nothing but the piece that it is at. A barrier waits for threads instead of
// work, and a pass then takes many times as long.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#define PAUSE __builtin_ia32_pause()
#else
#define PAUSE asm volatile("" ::: "memory")
#endif

constexpr int SPINS_BEFORE_YIELD = 20000;  // some 500 µs: a piece takes less
constexpr int SPINS_BEFORE_SLEEP = 500;   // some 15 µs: waking costs as much, and spinning takes a core

constexpr int64_t MOST_PASSES_ALONE = 256;

using Clock = std::chrono::steady_clock;

struct alignas(64) Phase {
  std::atomic<int64_t> claimed{0}, done{0};
};

class Job;

// One thread's way through the phases of a job; each thread makes the same calls in order.
class Member {
 public:
  explicit Member(Job& job) : job_(job) {}

  // Calls work(piece) for 0..pieces-1, spread over the team; returns when all are done.
  template <class Work>
  void each(int64_t pieces, const Work& work);

  // How long it had nothing to do but wait for pieces of others.
  Clock::duration waited() const { return waited_; }

 private:
  void wait(const Phase& phase, int64_t pieces);

  Clock::duration waited_{};
  Job& job_;
  size_t phase_ = 0;
};

class Job {
 public:
  Job(size_t phases, std::function<void(Member&)> body) : phases_(phases), body_(std::move(body)) {}

  // Returns how long this thread waited for others.
  Clock::duration run() {
    Member member(*this);
    body_(member);
    return member.waited();
  }

 private:
  friend class Member;
  std::vector<Phase> phases_;
  std::function<void(Member&)> body_;
};

template <class Work>
void Member::each(int64_t pieces, const Work& work) {
  Phase& phase = job_.phases_[phase_++];
  for (int64_t piece; (piece = phase.claimed.fetch_add(1, std::memory_order_relaxed)) < pieces;) {
    work(piece);
    phase.done.fetch_add(1, std::memory_order_release);
  }
  if (phase.done.load(std::memory_order_acquire) < pieces) wait(phase, pieces);
}

inline void Member::wait(const Phase& phase, int64_t pieces) {
  const Clock::time_point since = Clock::now();
  for (int spins = 0; phase.done.load(std::memory_order_acquire) < pieces; ++spins) {
    PAUSE;
    if (spins > SPINS_BEFORE_YIELD) std::this_thread::yield();
  }
  waited_ += Clock::now() - since;
}

class Team {
 public:
  explicit Team(int64_t threads) {
    for (int64_t i = 1; i < threads; ++i) helpers_.emplace_back([this] { help(); });
  }

  ~Team() {
    stopping_ = true;
    announce();
    for (auto& helper : helpers_) helper.join();
  }

  // Runs the job's body on this thread and on the helpers that come. A helper may still be on its
  // way through the phases, all done, after this returns: the body may read only what the job owns
  // until it has claimed a piece.
  //
  // When more than half of a job was waiting for helpers, they cost more than they do: the next
  // jobs go without them, twice as many each time that this happens again.
  void run(std::shared_ptr<Job> job) {
    if (alone_ > 0) {
      --alone_;
      job->run();
      return;
    }
    {
      std::lock_guard lock(mutex_);
      job_ = job;
    }
    announce();
    const Clock::time_point since = Clock::now();
    const Clock::duration waited = job->run();
    const bool late = waited * 2 > Clock::now() - since;
    penalty_ = late ? std::min(penalty_ * 2, MOST_PASSES_ALONE) : std::max<int64_t>(penalty_ / 2, 4);
    if (late) alone_ = penalty_;
  }

 private:
  void announce() {
    epoch_.fetch_add(1);
    epoch_.notify_all();
  }

  void help() {
    for (uint64_t seen = 0; !stopping_;) {
      for (int spins = 0; epoch_ == seen && spins < SPINS_BEFORE_SLEEP; ++spins) PAUSE;
      epoch_.wait(seen);
      seen = epoch_;
      std::shared_ptr<Job> job;
      {
        std::lock_guard lock(mutex_);
        job = job_;
      }
      if (job && !stopping_) job->run();
    }
  }

  int64_t alone_ = 0;    // jobs still to run without helpers
  int64_t penalty_ = 4;  // how many the next late job adds, halved
  std::mutex mutex_;
  std::shared_ptr<Job> job_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> helpers_;
};
