package io.github.tokenprune.mllm;

import io.github.tokenprune.Context;
import io.github.tokenprune.Policy;
import io.github.tokenprune.Tensor;
import io.github.tokenprune.internal.NativeObject;
import io.github.tokenprune.mllm.internal.NativeMllm;
import io.github.tokenprune.mllm.internal.tkp_mllm_generate_options;
import io.github.tokenprune.mllm.internal.tkp_mllm_info;
import io.github.tokenprune.mllm.internal.tkp_mllm_times;
import io.github.tokenprune.mllm.internal.tkp_report;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;

/**
 * The reference model: from a Hugging Face directory, pictures and a question to an answer. Any
 * number of threads may ask it.
 */
public final class Model extends NativeObject {
    static {
        System.loadLibrary("tokenprune-mllm-java");
    }

    private Model(long handle) {
        super("model", handle, NativeMllm::flat_destroy);
    }

    /**
     * Maps the weights of a directory.
     *
     * @param context where it runs
     * @param directory with config.json
     * @return the model
     */
    public static Model load(Context context, Path directory) {
        long[] out = {0};
        return with(
                () -> {
                    NativeMllm.flat_mllm_load(out, context.handle(), directory.toString(), 0, 0, 0, 0);
                    return new Model(out[0]);
                },
                context);
    }

    /**
     * What was loaded.
     *
     * @param kind "llava", "llava_next", "qwen2_vl"
     * @param layers of the decoder
     * @param hidden width of a row
     * @param vocab tokens the tokenizer knows
     * @param gridRows of a square; 0 where pictures have grids of their own
     * @param gridCols likewise
     */
    public record Info(String kind, int layers, long hidden, long vocab, int gridRows, int gridCols) {}

    /**
     * One prompt.
     *
     * @param prompt the question
     * @param images files, in order of appearance
     */
    public record Request(String prompt, List<Path> images) {}

    /**
     * How to answer.
     *
     * @param maxNewTokens 0 = 64; -1 = prefill only
     * @param policy null = nothing is pruned
     * @param temperature above 0: tokens are drawn; 0 = the likeliest
     * @param seed for drawing
     * @param scores one for each visual token, for policies with external scores; or null
     */
    public record Options(int maxNewTokens, Policy policy, double temperature, long seed, FloatBuffer scores) {
        /** The likeliest tokens, unpruned. */
        public Options() {
            this(0, null, 0, 0, null);
        }

        /**
         * The likeliest tokens, pruned.
         *
         * @param policy to prune by
         */
        public Options(Policy policy) {
            this(0, policy, 0, 0, null);
        }
    }

    /**
     * An answer.
     *
     * @param text of it
     * @param tokens of it
     * @param kept cells of each image
     */
    public record Answer(String text, int[] tokens, List<int[]> kept) {}

    /**
     * Answers to a batch, and what its prefill cost.
     *
     * @param answers one for each request
     * @param visualBefore candidates
     * @param visualAfter after the last cut
     * @param macs multiply-accumulates of the decoder
     * @param macsUnpruned without pruning
     * @param kvBytes of keys and values
     * @param prefillSeconds of the decoder over the prompts
     * @param decodeSeconds of all tokens but the first
     */
    public record Answers(
            List<Answer> answers,
            long visualBefore,
            long visualAfter,
            double macs,
            double macsUnpruned,
            long kvBytes,
            double prefillSeconds,
            double decodeSeconds) {}

    /**
     * Its shapes.
     *
     * @return what was loaded
     */
    public Info info() {
        tkp_mllm_info raw = new tkp_mllm_info();
        try {
            return with(
                    () -> {
                        NativeMllm.flat_mllm_get_info(handle(), raw);
                        return new Info(
                                raw.getKind(), raw.getLayers(), raw.getHidden(), raw.getVocab(),
                                raw.getGrid_rows(), raw.getGrid_cols());
                    },
                    this);
        } finally {
            raw.delete();
        }
    }

    private static long requestsOf(List<Request> requests) {
        long[] out = {0};
        NativeMllm.flat_requests_create(out);
        try {
            long id = 0;
            for (Request r : requests) {
                NativeMllm.flat_requests_add(out[0], r.prompt(), "", 0, id++);
                for (Path image : r.images()) {
                    NativeMllm.flat_requests_add_image(out[0], image.toString());
                }
            }
        } catch (RuntimeException e) {
            NativeMllm.flat_destroy(out[0]);
            throw e;
        }
        return out[0];
    }

    /**
     * Answers a batch of prompts.
     *
     * @param requests the prompts
     * @param options how
     * @return answers in their order
     */
    public Answers generate(List<Request> requests, Options options) {
        Tensor scores =
                options.scores() == null ? null : Tensor.of(options.scores(), options.scores().remaining());
        long batch = requestsOf(requests);
        tkp_mllm_generate_options raw = new tkp_mllm_generate_options();
        raw.setMax_new_tokens(options.maxNewTokens());
        raw.setDo_sample(options.temperature() > 0 ? 1 : 0);
        raw.setTemperature(options.temperature());
        raw.setSeed(options.seed());
        NativeObject[] open = options.policy() == null ? new NativeObject[] {this} : new NativeObject[] {this, options.policy()};
        try {
            return with(
                    () -> {
                        long[] out = {0};
                        NativeMllm.flat_mllm_generate(
                                out, handle(), batch, options.policy() == null ? 0 : options.policy().handle(), raw, 0,
                                scores == null ? new long[0] : scores.record(NativeMllm.FLAT_SCORES));
                        try {
                            return read(out[0], requests.size());
                        } finally {
                            NativeMllm.flat_destroy(out[0]);
                        }
                    },
                    open);
        } finally {
            raw.delete();
            NativeMllm.flat_destroy(batch);
            java.lang.ref.Reference.reachabilityFence(scores);
        }
    }

    private static int[] ints(BiConsumer<long[], long[]> ask) {
        long[] out = {0};
        ask.accept(out, new long[0]);
        IntBuffer found = Tensor.ints(Math.toIntExact(out[0]));
        if (found.capacity() > 0) {
            Tensor t = Tensor.of(found, found.capacity());
            ask.accept(out, t.record(NativeMllm.FLAT_OUT_DATA));
            java.lang.ref.Reference.reachabilityFence(t);
        }
        int[] list = new int[found.capacity()];
        found.get(list);
        return list;
    }

    private static Answers read(long result, int count) {
        List<Answer> answers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int number = i;
            List<int[]> kept = new ArrayList<>();
            for (int image = 0; image < NativeMllm.flat_result_images(result, i); image++) {
                int k = image;
                kept.add(ints((out, room) -> NativeMllm.flat_result_kept_cells(out, result, number, k, room)));
            }
            answers.add(new Answer(
                    NativeMllm.flat_result_text(result, i),
                    ints((out, room) -> NativeMllm.flat_result_tokens(out, result, number, room)), kept));
        }
        tkp_report report = new tkp_report();
        tkp_mllm_times times = new tkp_mllm_times();
        try {
            NativeMllm.flat_result_report(result, report, new long[0]);
            NativeMllm.flat_result_times(result, times);
            return new Answers(
                    answers, report.getVisual_before(), report.getVisual_after(), report.getMacs(),
                    report.getMacs_unpruned(), report.getKv_bytes(), times.getPrefill(), times.getDecode());
        } finally {
            report.delete();
            times.delete();
        }
    }
}
