package io.github.tokenprune;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;

/** Objects: what they answer, how they fail, that they leave nothing behind. */
public class ObjectsTest {
    private static final String FASTV = """
            tokenprune: 1
            name: mine
            stages:
            - {at: "llm:2", scorer: {kind: attention, query: last}, selector: topk, merger: nearest, budget: {ratio: 1/4}}
            """;

    private final Context context = new Context("ref", 0);
    private final Exec exec = new Exec(context);

    private static ModelShape model() {
        ModelShape m = new ModelShape();
        m.layers = 8;
        m.heads = 4;
        m.kvHeads = 2;
        m.headDim = 6;
        m.hidden = 12;
        m.intermediate = 32;
        return m;
    }

    /** 47 rows: one, 6 x 6 visual tokens, ten of text. */
    private static Layout batch() {
        Layout layout = new Layout();
        layout.addSequence(47, 38, 47, 0);
        layout.addImage(0, new Layout.Image(1, 6, 6));
        return layout;
    }

    /** Made up, always the same. */
    private static FloatBuffer numbers(int n, int seed) {
        FloatBuffer x = Tensor.floats(n);
        for (int i = 0; i < n; i++) {
            x.put(i, (i * 2654435761L + seed * 40503L) % 65536 / 65536f - 0.5f);
        }
        return x;
    }

    private static Inputs inputs() {
        return new Inputs().q(Tensor.of(numbers(47 * 24, 1), 47, 4, 6)).k(Tensor.of(numbers(47 * 12, 2), 47, 2, 6))
                .hidden(Tensor.of(numbers(47 * 12, 3), 47, 12));
    }

    private static void fails(Status status, String part, ThrowingRunnable call) {
        TokenPruneException e = assertThrows(TokenPruneException.class, call);
        assertEquals(e.getMessage(), status, e.status());
        assertTrue(e.getMessage(), e.getMessage().contains(part));
    }

    private static float[] list(FloatBuffer b) {
        float[] list = new float[b.capacity()];
        b.get(0, list);
        return list;
    }

    @Test
    public void contextSaysWhatItHas() {
        assertEquals(List.of("ref"), context.backends());
        assertEquals(3, Context.version().split("\\.").length);
        fails(Status.NO_BACKEND, "nothing", () -> new Context("nothing", 0));
        fails(Status.OPTION, "threads", () -> new Context("ref", -1));
        assertThrows(IllegalArgumentException.class, () -> new Context("a\0b", 0));
    }

    @Test
    public void layoutCountsAndFreezes() {
        Layout layout = batch();
        assertEquals(1, layout.addSequence(5, 0, 0, 9));
        assertEquals(1, layout.addImage(1, new Layout.Image(1, 1, 2).valid(new byte[] {1, 0})));
        assertArrayEquals(new long[] {2, 2, 52}, new long[] {layout.sequences(), layout.images(), layout.rows()});
        assertArrayEquals(
                new long[] {36, 1, -1},
                new long[] {layout.visualTokens(0), layout.visualTokens(1), layout.visualTokens(2)});
        layout.setPositions(Tensor.of(Tensor.ints(52), 1, 52));
        fails(Status.SHAPE, "valid", () -> layout.addImage(1, new Layout.Image(3, 1, 2).valid(new byte[3])));
        fails(Status.SHAPE, "image", () -> layout.addImage(1, new Layout.Image(4, 2, 2)));
        Scorer.of(context, layout, model(), "attention").close();
        fails(Status.STATE, "layout", () -> layout.addSequence(1, 0, 0, 0));
    }

    @Test
    public void policyIsWhatWasSaid() {
        Policy p = Policy.fromYaml(FASTV, "here");
        assertEquals("mine", p.name());
        assertEquals(1, p.stages());
        assertEquals(p.yaml(), Policy.fromYaml(p.yaml(), "again").yaml());
        PolicyInfo info = p.info();
        assertTrue((info.needs() & Needs.ATTENTION) != 0 && info.inLlm() && info.textDependent() && info.merges());
        assertEquals(2, info.lastBoundary());
        Point point = p.point(0);
        assertEquals(Point.Kind.LLM, point.kind());
        assertEquals(2, point.boundary());
        assertEquals(1, point.scoreLayer());
        assertTrue(p.withBudget(-1, "{count: 12}").yaml().contains("count: 12"));
        assertEquals(3, p.withPoint(-1, Point.Kind.LLM, 3).point(0).boundary());
        assertEquals(4, Policy.preset("fastv").withDepth(32, 64, 0, 0).point(0).boundary());
        assertTrue(Policy.preset("random").withSeed(-1).yaml().contains("18446744073709551615"));
        assertTrue(Policy.presets().contains("sparsevlm-plus"));
        assertEquals(128, Policy.resolve("{ratio: 2/9}", 576, 0, 32));
        fails(Status.OPTION, "count is 9", () -> Policy.resolve("{count: 9}", 4, 0, 32));
        fails(Status.POLICY, "fastv", () -> Policy.preset("fastw"));
        fails(Status.IO, "/nowhere.yaml", () -> Policy.load(Path.of("/nowhere.yaml")));
        // UTF-8, not what Java makes of it.
        String name = "caf\u00e9 \ud83d\ude00";
        assertTrue(Policy.fromYaml(FASTV.replace("name: mine", "name: mine\nsummary: \"" + name + "\""), "x")
                .yaml().contains(name));
    }

    @Test
    public void partsOneAfterTheOtherAreTheSequence() {
        Layout layout = batch();
        Policy policy = Policy.fromYaml(FASTV, "here");
        Inputs in = inputs();
        Scorer scorer = Scorer.of(policy, 0, context, layout, model());
        Scorer own = Scorer.of(context, layout, model(), "{kind: attention, query: last}");
        Selector selector = Selector.of(policy, 0, context, layout, model());
        Merger merger = Merger.of(policy, 0, context, selector, model());
        assertEquals(Needs.ATTENTION, scorer.needs());
        assertArrayEquals(new int[] {46}, scorer.queryRows());
        FloatBuffer scores = scorer.run(exec, in);
        assertArrayEquals(list(scores), list(own.run(exec, in)), 0);
        Selector.Selection kept = selector.run(exec, inputs().scores(Tensor.of(scores, 36)));
        assertArrayEquals(new int[] {0, 9}, kept.offsets());
        assertEquals(9, selector.count(0));
        Selector byHand = Selector.of(context, layout, "topk", "{ratio: 1/4}", null);
        assertArrayEquals(kept.indices(), byHand.run(exec, new Inputs().scores(Tensor.of(scores, 36))).indices());
        FloatBuffer rows = Tensor.floats(9 * 12);
        Merger.Merged merged = merger.run(exec, in, kept.indices(), Tensor.of(rows, 9, 12));
        float sum = 0;
        for (float s : merged.sizes()) {
            sum += s;
        }
        assertEquals(36, sum, 0);

        Sequence sequence = new Sequence(context, exec);
        sequence.begin(policy, layout, model());
        Point point = sequence.next();
        assertEquals(47, point.rowsIn());
        assertEquals(20, point.rowsOut());
        assertArrayEquals(new int[] {46}, sequence.queryRows());
        Decision decision = sequence.prune(in);
        assertArrayEquals(list(scores), decision.scores(), 0);
        assertArrayEquals(kept.indices(), sequence.keptCells(0));
        assertArrayEquals(decision.indices(), sequence.rows());
        FloatBuffer out = Tensor.floats(20 * 12);
        FloatBuffer kv = Tensor.floats(20 * 12);
        Tensor hidden = Tensor.of(numbers(47 * 12, 3), 47, 12);
        decision.gather(Tensor.of(out, 20, 12), hidden);
        decision.gatherKv(Tensor.of(kv, 20, 12), hidden);
        for (int i = 0; i < 9 * 12; i++) {
            assertEquals(rows.get(i), out.get(12 + i), 0);
        }
        assertEquals(numbers(47 * 12, 3).get(5), kv.get(5), 0);
        assertNull(sequence.next());
        Report report = sequence.report();
        assertEquals(9, report.visualAfter());
        assertEquals(20, report.layerTokens()[2]);
        assertTrue(report.macs() < report.macsUnpruned());
        sequence.begin(policy, layout, model());
        fails(Status.STATE, "decision", decision::indices);
    }

    @Test
    public void buffersAreNotCopied() {
        FloatBuffer hidden = numbers(47 * 12, 1);
        FloatBuffer scores = Tensor.floats(40);
        scores.position(4);
        Tensor to = Tensor.of(scores, 36);
        assertEquals(Tensor.of(scores.duplicate().position(0), 40).address() + 16, to.address());
        Scorer.of(context, batch(), model(), "{kind: norm, norm: l2}")
                .run(exec, new Inputs().hidden(Tensor.of(hidden, 47, 12)), to);
        assertEquals(0, scores.get(3), 0); // what C wrote is in the buffer, from its position on
        assertTrue(scores.get(4) > 0 && scores.get(39) > 0);
    }

    @Test
    public void wrongViewsAreRefused() {
        FloatBuffer data = Tensor.floats(12);
        fails(Status.SHAPE, "touches 15", () -> Tensor.of(data, 3, 5));
        fails(Status.SHAPE, "touches 14", () -> Tensor.strided(data, new long[] {3, 4}, new long[] {5, 1}));
        Tensor.strided(data, new long[] {3, 2}, new long[] {4, 1});
        fails(Status.SHAPE, "too large", () -> Tensor.of(data, Long.MAX_VALUE, 2));
        fails(Status.SHAPE, "below 0", () -> Tensor.of(data, -1));
        fails(Status.SHAPE, "at most 6", () -> Tensor.of(data, 1, 1, 1, 1, 1, 1, 12));
        fails(Status.ARGUMENT, "not direct", () -> Tensor.of(FloatBuffer.allocate(12), 12));
        ByteOrder other = ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        fails(Status.ARGUMENT, "native order",
                () -> Tensor.of(ByteBuffer.allocateDirect(48).order(other).asFloatBuffer(), 12));
        fails(Status.SHAPE, "does not fit", () -> Tensor.of(ByteBuffer.allocateDirect(10), Dtype.BF16, 6));

        Layout layout = batch();
        Scorer scorer = Scorer.of(context, layout, model(), "attention");
        fails(Status.ARGUMENT, "q", () -> scorer.run(exec, new Inputs()));
        Tensor few = Tensor.of(data, 2, 6);
        fails(Status.SHAPE, "q", () -> scorer.run(exec, new Inputs().q(few).k(few)));
        fails(Status.SHAPE, "text_offsets",
                () -> scorer.run(exec, new Inputs().textOffsets(Tensor.of(Tensor.ints(1), 1))));
        fails(Status.POLICY, "nonsense", () -> Scorer.of(context, layout, model(), "{kind: nonsense}"));
        fails(Status.OPTION, "heads", () -> Scorer.of(context, layout, new ModelShape(), "attention"));
        Selector selector = Selector.of(context, layout, "topk", "{count: 3}", null);
        fails(Status.SHAPE, "scores", () -> selector.run(exec, new Inputs().scores(Tensor.of(Tensor.floats(5), 5))));
        fails(Status.OPTION, "99", () -> Selector.of(context, layout, "topk", "{count: 99}", null));
        Merger merger = Merger.of(context, selector, model(), "nearest");
        fails(Status.ARGUMENT, "candidate 99",
                () -> merger.run(exec, new Inputs(), new int[] {0, 1, 99}, Tensor.of(Tensor.floats(36), 3, 12)));
        Sequence sequence = new Sequence(context, exec);
        fails(Status.STATE, "", sequence::next);
        fails(Status.STATE, "", () -> sequence.prune(new Inputs()));
    }

    @Test
    public void whatIsClosedSaysSo() {
        Layout layout = batch();
        Scorer scorer = Scorer.of(context, layout, model(), "{kind: norm}");
        scorer.close();
        scorer.close();
        assertThrows(IllegalStateException.class, () -> scorer.run(exec, inputs()));
        layout.close();
        assertThrows(IllegalStateException.class, layout::rows);
        Policy policy = Policy.preset("fastv");
        policy.close();
        assertThrows(IllegalStateException.class, () -> policy.withSeed(1));
    }

    private static long resident() throws IOException {
        String[] words = Files.readString(Path.of("/proc/self/statm")).split(" ");
        return (Long.parseLong(words[1]) - Long.parseLong(words[2])) * 4096;
    }

    private void oneLife(Inputs in) {
        try (Exec own = new Exec(context);
                Layout layout = batch();
                Policy policy = Policy.fromYaml(FASTV, "here");
                Sequence sequence = new Sequence(context, own)) {
            sequence.begin(policy, layout, model());
            assertNotNull(sequence.next());
            sequence.prune(in);
            assertThrows(TokenPruneException.class, () -> Policy.preset("?"));
        }
    }

    @Test
    public void thousandsOfLivesLeaveNothingBehind() throws IOException {
        Inputs in = inputs();
        for (int i = 0; i < 2000; i++) {
            oneLife(in);
        }
        System.gc();
        long before = resident();
        for (int i = 0; i < 5000; i++) {
            oneLife(in);
        }
        System.gc();
        long more = resident() - before;
        assertTrue(more + " bytes", more < 48L << 20); // the machine's own heap moves, too
    }

    @Test
    public void threadsSharePlansAndClashesAreErrors() throws Exception {
        Scorer scorer = Scorer.of(context, batch(), model(), "{kind: norm, norm: l2}");
        Inputs in = inputs();
        float[] want = list(scorer.run(exec, in));
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> all = new ArrayList<>();
        for (int t = 0; t < 4; t++) {
            boolean alone = t % 2 == 0;
            all.add(pool.submit(() -> {
                int refused = 0;
                try (Exec own = new Exec(context)) {
                    for (int i = 0; i < 300; i++) {
                        try {
                            assertArrayEquals(want, list(scorer.run(alone ? own : exec, in)), 0);
                        } catch (TokenPruneException e) {
                            assertEquals(Status.STATE, e.status());
                            refused++;
                        }
                        assertThrows(TokenPruneException.class, () -> Policy.preset("?"));
                    }
                }
                return alone ? refused : 0;
            }));
        }
        for (Future<Integer> f : all) {
            assertEquals(0, (int) f.get());
        }
        pool.shutdown();
        // Closing while others work: refused or done, never a crash.
        Thread worker = new Thread(() -> {
            try {
                for (int i = 0; i < 2000; i++) {
                    scorer.run(exec, in);
                }
            } catch (IllegalStateException | TokenPruneException closed) {
                // what a user sees
            }
        });
        worker.start();
        for (int i = 0; i < 1000; i++) {
            try {
                scorer.close();
            } catch (TokenPruneException e) {
                assertEquals(Status.STATE, e.status());
            }
        }
        worker.join();
    }

    /** java -cp ... io.github.tokenprune.ObjectsTest: what a call costs. */
    public static void main(String[] args) {
        Context context = new Context("ref", 0);
        Exec exec = new Exec(context);
        Layout layout = new Layout();
        layout.addSequence(6, 0, 0, 0);
        layout.addImage(0, new Layout.Image(1, 2, 2));
        ModelShape model = new ModelShape();
        model.hidden = 4;
        model.heads = 1;
        Scorer scorer = Scorer.of(context, layout, model, "{kind: norm, norm: l2}");
        Inputs in = new Inputs().hidden(Tensor.of(Tensor.floats(24), 6, 4));
        Tensor scores = Tensor.of(Tensor.floats(4), 4);
        for (int round = 0; round < 8; round++) {
            long start = System.nanoTime();
            for (int i = 0; i < 200_000; i++) {
                scorer.run(exec, in, scores);
            }
            System.out.printf("%d ns a call%n", (System.nanoTime() - start) / 200_000);
        }
    }
}
