// Runs a kernel on the host: block after block, its threads as fibers that take turns at barriers.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "device.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define STN_SANITIZED 1
#else
#define STN_SANITIZED 0
#endif

namespace emulation {

Triple thread_index, block_index, block_size, grid_size;
const Registered* Registered::first = nullptr;

namespace {

constexpr size_t kStack = 256 * 1024;

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[kStack]};
    enum { ready, at_block, at_warp, done } state = done;
    const char* place = nullptr;
    unsigned exchanges = 0;
};

// Two sets of slots, in turn: a fiber may hand in its next value before another has read the last one.
struct Warp {
    uint64_t slots[2][32];
};

std::vector<Fiber> fibers;
std::vector<Warp> warps;
std::vector<void*> spoiled;  // shared memory that the block at hand has declared
ucontext_t scheduler;
int current = 0;
const Registered* running = nullptr;
void** passed = nullptr;
std::string fault;  // the first access that a GPU would have refused
#if STN_SANITIZED
const void* scheduler_stack = nullptr;
size_t scheduler_size = 0;
#endif

// Back to the scheduler. The sanitizer has to be told of every change of stacks.
void leave([[maybe_unused]] bool for_good) {
#if STN_SANITIZED
    void* saved = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &saved, scheduler_stack, scheduler_size);
#endif
    swapcontext(&fibers[current].context, &scheduler);
#if STN_SANITIZED
    __sanitizer_finish_switch_fiber(saved, &scheduler_stack, &scheduler_size);
#endif
}

void body() {
#if STN_SANITIZED
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    running->call(running->function, passed);
    fibers[current].state = Fiber::done;
    leave(true);
}

void enter(int index) {
    current = index;
    thread_index.x = static_cast<unsigned>(index);
#if STN_SANITIZED
    void* saved = nullptr;
    __sanitizer_start_switch_fiber(&saved, fibers[index].stack.get(), kStack);
#endif
    swapcontext(&scheduler, &fibers[index].context);
#if STN_SANITIZED
    __sanitizer_finish_switch_fiber(saved, nullptr, nullptr);
#endif
}

// Frees the fibers first..last if all of them wait in the same way at the same place.
bool release(int first, int last, int state) {
    for (int index = first; index < last; ++index) {
        if (fibers[index].state != state || std::strcmp(fibers[index].place, fibers[first].place) != 0)
            return false;
    }
    for (int index = first; index < last; ++index) fibers[index].state = Fiber::ready;
    return true;
}

bool release_any() {
    const int count = static_cast<int>(fibers.size());
    bool any = release(0, count, Fiber::at_block);
    for (int first = 0; first < count; first += 32) {
        any |= release(first, std::min(first + 32, count), Fiber::at_warp);
    }
    return any;
}

std::string where_they_wait() {
    std::string text = "threads wait for one another in vain:";
    for (size_t index = 0; index < fibers.size(); ++index) {
        const Fiber& fiber = fibers[index];
        const bool waits = fiber.state == Fiber::at_block || fiber.state == Fiber::at_warp;
        const std::string place = waits ? fiber.place : "the end";
        if (text.size() < 400) text += " " + std::to_string(index) + " at " + place;
    }
    return text;
}

void prepare(Fiber& fiber) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, body, 0);
    fiber.state = Fiber::ready;
    fiber.exchanges = 0;
}

// One block; false where its threads wait for one another in vain.
bool run_block(std::vector<int>& order, std::mt19937* shuffled) {
    spoiled.clear();
    for (Fiber& fiber : fibers) prepare(fiber);
    do {
        if (shuffled) std::shuffle(order.begin(), order.end(), *shuffled);
        for (const int index : order) {
            if (fibers[index].state == Fiber::ready) enter(index);
        }
    } while (release_any());
    return std::all_of(fibers.begin(), fibers.end(), [](const Fiber& f) { return f.state == Fiber::done; });
}

}  // namespace

void meet(bool warp_only, const char* place) {
    fibers[current].state = warp_only ? Fiber::at_warp : Fiber::at_block;
    fibers[current].place = place;
    leave(false);
}

void spoil(void* shared, size_t bytes) {
    if (std::find(spoiled.begin(), spoiled.end(), shared) != spoiled.end()) return;
    spoiled.push_back(shared);
    std::memset(shared, 0xff, bytes);
}

void misaligned(size_t bytes) {
    if (!fault.empty()) return;
    fault = "thread " + std::to_string(current) + " of block " + std::to_string(block_index.x) + " reads " +
            std::to_string(bytes) + " bytes at an address that is no multiple of " + std::to_string(bytes);
}

const uint64_t* exchange(uint64_t mine, const char* place) {
    Fiber& fiber = fibers[current];
    uint64_t* slots = warps[current / 32].slots[fiber.exchanges++ % 2];
    slots[current % 32] = mine;
    meet(true, place);
    return slots;
}

float float_of_half(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, mantissa = half & 1023u;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
    const float size =
        exponent ? std::ldexp(float(mantissa | 1024u), int(exponent) - 25) : std::ldexp(float(mantissa), -24);
    return sign ? -size : size;
}

uint16_t half_of_float(float value) {
    const uint16_t sign = __float_as_uint(value) >> 16 & 0x8000u;
    const float size = std::fabs(value);
    if (size == 0.f) return sign;
    if (size != size) return 0x7fff;
    if (size >= 65520.f) return sign | 0x7c00;  // half way past the largest, and beyond
    int exponent = 0;
    std::frexp(size, &exponent);
    // In units of the last place, at least 2^-24; nearbyint rounds half to even.
    const int unit = std::max(exponent - 11, -24);
    const auto units = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, -unit)));
    // A mantissa that rounds up to 2048 carries over into the exponent by itself.
    return static_cast<uint16_t>(sign |
                                 (unit == -24 ? units : (static_cast<uint32_t>(unit + 24) << 10) + units));
}

}  // namespace emulation

// Runs a kernel; returns null, or what went wrong. `order`: 0 forward, 1 backward, else shuffled with it as
// seed.
extern "C" const char* stn_emulate(const char* name, int64_t blocks, int32_t threads, void** arguments,
                                   int32_t order) {
    using namespace emulation;
    static std::string problem;
    running = Registered::first;
    while (running && std::string(running->name) != name) running = running->next;
    if (!running) return (problem = "no kernel is called " + std::string(name)).c_str();
    if (threads < 1 || threads > 1024 || threads % 32 || blocks < 1 || blocks > 0x7fffffff) {
        return (problem = "a launch of " + std::to_string(blocks) + " x " + std::to_string(threads)).c_str();
    }
    passed = arguments;
    fault.clear();
    if (static_cast<int>(fibers.size()) != threads) fibers = std::vector<Fiber>(threads);
    warps = std::vector<Warp>((threads + 31) / 32);
    block_size = {static_cast<unsigned>(threads), 1, 1};
    grid_size = {static_cast<unsigned>(blocks), 1, 1};
    std::vector<int> turns(threads);
    std::iota(turns.begin(), turns.end(), 0);
    if (order == 1) std::reverse(turns.begin(), turns.end());
    std::mt19937 shuffled(static_cast<unsigned>(order));
    for (int64_t block = 0; block < blocks; ++block) {
        block_index = {static_cast<unsigned>(order == 1 ? blocks - 1 - block : block), 0, 0};
        if (!run_block(turns, order > 1 ? &shuffled : nullptr)) return (problem = where_they_wait()).c_str();
    }
    return fault.empty() ? nullptr : fault.c_str();
}
