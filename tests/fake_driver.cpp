// A libcuda without a GPU: contexts, modules, functions, events; a launch calls back. What a driver refuses is
// refused here: the wrong context, PTX that it cannot read or that is too new, a kernel that is not there.
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

struct Context { int device; };
struct Module { std::string text; int device; };
struct Function { std::string name; int device; };
using Launched = void (*)(const char* name, int device, unsigned blocks, unsigned threads, void* stream, void** arguments);

int version = 13000, count = 2, major = 8, minor = 6;
std::map<std::string, int> failing;
std::string calls;
Context contexts[4] = {{0}, {1}, {2}, {3}};
thread_local std::vector<Context*> stack;
Launched launched = nullptr;

int called(const char* name) {
    calls += std::string(name) + "\n";
    const auto found = failing.find(name);
    return found == failing.end() ? 0 : found->second;
}

}  // namespace

#define CALLED if (const int status = called(__func__)) return status
extern "C" {

// For the test.
void fake_device(int devices, int first, int second) { count = devices, major = first, minor = second; }
void fake_version(int value) { version = value; }
void fake_failure(const char* name, int status) { failing[name] = status; }
void fake_launched(Launched callback) { launched = callback; }
void fake_current(int device) { stack.assign(1, &contexts[device]); }
const char* fake_calls() { return calls.c_str(); }
int fake_depth() { return static_cast<int>(stack.size()); }

int cuInit(unsigned) { CALLED; return 0; }
int cuDriverGetVersion(int* value) { CALLED; *value = version; return 0; }
int cuDeviceGetCount(int* value) { CALLED; *value = count; return 0; }
int cuDeviceGet(int* device, int index) { CALLED; *device = index; return 0; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    CALLED;
    *value = attribute == 75 ? major : attribute == 76 ? minor : -1;
    return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) { CALLED; *context = &contexts[device]; return 0; }
int cuCtxGetCurrent(void** context) { *context = stack.empty() ? nullptr : stack.back(); return 0; }
int cuCtxPushCurrent_v2(void* context) { CALLED; stack.push_back(static_cast<Context*>(context)); return 0; }
int cuCtxPopCurrent_v2(void** context) {
    CALLED;
    if (stack.empty()) return 201;
    *context = stack.back();
    stack.pop_back();
    return 0;
}
int cuModuleLoadDataEx(void** module, const char* text, unsigned options, const int* names, void** values) {
    CALLED;
    if (stack.empty()) return 201;
    const char* found = std::strstr(text, ".version ");
    if (!found) {
        for (unsigned option = 0; option < options; ++option) {
            if (names[option] == 5) std::strcpy(static_cast<char*>(values[option]), "ptxas fatal\n: no .version");
        }
        return 218;
    }
    // PTX 9.0 came with CUDA 13.0, 8.x with 12.x.
    if (std::atof(found + 9) >= 9.0 && version < 13000) return 222;
    *module = new Module{text, stack.back()->device};
    return 0;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
    CALLED;
    const auto* in = static_cast<Module*>(module);
    if (in->text.find(".entry " + std::string(name) + "(") == std::string::npos) return 500;
    *function = new Function{name, in->device};
    return 0;
}
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned second, unsigned third,
                   unsigned shared, void* stream, void** arguments, void** extra) {
    CALLED;
    const auto* kernel = static_cast<Function*>(function);
    if (stack.empty() || stack.back()->device != kernel->device) return 400;
    if (y != 1 || z != 1 || second != 1 || third != 1 || shared || extra) return 1;
    if (launched) launched(kernel->name.c_str(), kernel->device, x, threads, stream, arguments);
    return 0;
}
int cuPointerGetAttribute(void* value, int attribute, unsigned long long address) {
    CALLED;
    if (attribute != 9 || !address) return 1;
    *static_cast<int*>(value) = 1;
    return 0;
}
int cuEventCreate(void** event, unsigned flags) { CALLED; *event = new unsigned(flags); return stack.empty() ? 201 : 0; }
int cuEventRecord(void*, void* stream) { calls += "record " + std::to_string(reinterpret_cast<size_t>(stream)) + "\n"; return 0; }
int cuStreamWaitEvent(void* stream, void*, unsigned) { calls += "wait " + std::to_string(reinterpret_cast<size_t>(stream)) + "\n"; return 0; }
int cuGetErrorName(int status, const char** text) {
    static const std::map<int, const char*> names = {
        {3, "CUDA_ERROR_NOT_INITIALIZED"}, {100, "CUDA_ERROR_NO_DEVICE"}, {218, "CUDA_ERROR_INVALID_PTX"},
        {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"}, {400, "CUDA_ERROR_INVALID_HANDLE"}, {500, "CUDA_ERROR_NOT_FOUND"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    const auto found = names.find(status);
    *text = found == names.end() ? nullptr : found->second;
    return found == names.end() ? 1 : 0;
}
int cuGetErrorString(int status, const char** text) { *text = status == 700 ? "an illegal memory access was encountered" : "words of the driver"; return 0; }
}
