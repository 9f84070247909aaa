// Lesson 7: from C++ (11 and later). Handles that close themselves, failures as
// exceptions; the library needs no more wrapping than this.
//
//     c++ 07_cpp.cpp $(pkg-config --cflags --libs tokenprune) -o 07_cpp
#include <tokenprune.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace tkp
{

class error : public std::runtime_error
{
  public:
    explicit error(tkp_status code)
        : std::runtime_error(tkp_last_message()), status(code)
    {
    }
    const tkp_status status;
};

inline void check(tkp_status status)
{
    if (status != TKP_OK)
        throw error(status);
}

// A unique_ptr for each handle: handle<tkp_policy, tkp_policy_destroy>.
template <typename T, void (*destroy)(T *)> struct closer {
    void operator()(T *handle) const
    {
        destroy(handle);
    }
};
template <typename T, void (*destroy)(T *)>
using handle = std::unique_ptr<T, closer<T, destroy>>;

using context = handle<tkp_context, tkp_context_destroy>;
using exec = handle<tkp_exec, tkp_exec_destroy>;
using layout = handle<tkp_layout, tkp_layout_destroy>;
using selector = handle<tkp_selector, tkp_selector_destroy>;
using policy = handle<tkp_policy, tkp_policy_destroy>;

// out(&handle, arguments of create...)
template <typename H, typename F, typename... Args>
H make(F create, Args... args)
{
    typename H::pointer raw = nullptr;
    check(create(&raw, args...));
    return H(raw);
}

inline tkp_tensor view(std::vector<float> &values)
{
    tkp_tensor out;
    tkp_tensor_make_1d(
        &out, values.data(), TKP_DTYPE_F32,
        static_cast<std::int64_t>(values.size()));
    return out;
}
inline tkp_tensor view(std::vector<std::int32_t> &values)
{
    tkp_tensor out;
    tkp_tensor_make_1d(
        &out, values.data(), TKP_DTYPE_I32,
        static_cast<std::int64_t>(values.size()));
    return out;
}

} // namespace tkp

static int run()
{
    auto context = tkp::make<tkp::context>(tkp_context_create, nullptr);
    auto exec = tkp::make<tkp::exec>(tkp_exec_create, context.get(), nullptr);

    auto layout = tkp::make<tkp::layout>(tkp_layout_create);
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    prompt.length = 120;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    image.start = 10;
    image.rows = 8;
    image.cols = 12;
    tkp::check(tkp_layout_add_sequence(layout.get(), &prompt, nullptr));
    tkp::check(tkp_layout_add_image(layout.get(), &image, nullptr));

    // The ten best scores of 96.
    tkp_selector_options options = TKP_SELECTOR_OPTIONS_INIT;
    options.kind = TKP_SELECTOR_TOPK;
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 10;
    auto selector = tkp::make<tkp::selector>(
        tkp_selector_create, context.get(), &options, &budget, layout.get());
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    tkp::check(tkp_selector_query(selector.get(), &needed));
    std::vector<char> memory(needed.workspace_bytes + 64);
    void *workspace = memory.data();
    std::size_t space = memory.size();
    if (!std::align(64, needed.workspace_bytes, workspace, space))
        return 1;
    tkp::check(tkp_exec_set_workspace(exec.get(), workspace, space));

    std::vector<float> scores(96);
    for (std::size_t i = 0; i < scores.size(); i++)
        scores[i] = static_cast<float>(i * 37 % 96);
    std::vector<std::int32_t> kept(10);
    tkp_tensor from = tkp::view(scores), to = tkp::view(kept);
    tkp::check(
        tkp_selector_run(selector.get(), exec.get(), &from, &to, nullptr));

    // The standard library's opinion.
    std::vector<std::int32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        return scores[static_cast<std::size_t>(a)] >
               scores[static_cast<std::size_t>(b)];
    });
    order.resize(kept.size());
    std::sort(order.begin(), order.end());
    if (kept != order) {
        std::fprintf(stderr, "these are not the ten best\n");
        return 1;
    }

    try {
        tkp::make<tkp::policy>(tkp_policy_load_preset, "fastvee");
    } catch (const tkp::error &e) {
        std::printf("%s: %s\n", tkp_status_string(e.status), e.what());
        return e.status == TKP_ERR_POLICY ? 0 : 1;
    }
    return 1;
}

int main()
{
    try {
        return run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
