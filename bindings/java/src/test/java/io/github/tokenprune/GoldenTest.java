package io.github.tokenprune;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import org.junit.Test;

/** The golden cases of tests/golden, as tests/api/test_policy_golden.c runs them. */
public class GoldenTest {
    static final Path GOLDEN = Path.of(System.getenv("TKP_TEST_DATA"));

    private static final Map<String, BiFunction<Inputs, Tensor, Inputs>> INPUTS = Map.ofEntries(
            Map.entry("q", Inputs::q), Map.entry("k", Inputs::k), Map.entry("lse", Inputs::lse),
            Map.entry("block_table", Inputs::blockTable), Map.entry("attention_rows", Inputs::attentionRows),
            Map.entry("attention", Inputs::attention), Map.entry("hidden", Inputs::hidden),
            Map.entry("norm_weight", Inputs::normWeight), Map.entry("cls_attention", Inputs::clsAttention),
            Map.entry("scores", Inputs::scores), Map.entry("text", Inputs::text),
            Map.entry("text_offsets", Inputs::textOffsets), Map.entry("values", Inputs::values),
            Map.entry("vision", Inputs::vision), Map.entry("vision_keys", Inputs::visionKeys),
            Map.entry("cls_shallow", Inputs::clsShallow), Map.entry("clip", Inputs::clip),
            Map.entry("clip_text", Inputs::clipText), Map.entry("clip_text_offsets", Inputs::clipTextOffsets),
            Map.entry("clip_tokens", Inputs::clipTokens), Map.entry("clip_token_offsets", Inputs::clipTokenOffsets),
            Map.entry("embeddings", Inputs::embeddings), Map.entry("pivot_order", Inputs::pivotOrder),
            Map.entry("plain_q", Inputs::plainQ), Map.entry("plain_k", Inputs::plainK),
            Map.entry("vision_values", Inputs::visionValues));

    /** One case: lines in, comparisons out. */
    private static final class Case {
        final String name;
        final ByteBuffer data;
        final Context context;
        final Exec exec;
        final Layout layout = new Layout();
        final ModelShape model = new ModelShape();
        final List<String> stages = new ArrayList<>();
        Policy policy;
        Sequence sequence;
        Inputs inputs;
        Decision decision;
        int checked;

        Case(String name, ByteBuffer data, Context context) {
            this.name = name;
            this.data = data;
            this.context = context;
            this.exec = new Exec(context);
        }

        long[] shape(String word) {
            return Arrays.stream(word.split("x")).mapToLong(Long::parseLong).toArray();
        }

        ByteBuffer at(long[] shape, String offset) {
            long n = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
            return data.slice(Integer.parseInt(offset), Math.toIntExact(4 * n)).order(ByteOrder.nativeOrder());
        }

        Tensor tensor(String dtype, String sizes, String offset) {
            long[] shape = shape(sizes);
            ByteBuffer bytes = at(shape, offset);
            return dtype.equals("f32") ? Tensor.of(bytes.asFloatBuffer(), shape) : Tensor.of(bytes.asIntBuffer(), shape);
        }

        byte[] mask(String word, int cells) {
            if (word.equals("-")) {
                return null;
            }
            byte[] mask = new byte[cells];
            data.get(Integer.parseInt(word), mask);
            return mask;
        }

        void begin() {
            if (sequence != null) {
                return;
            }
            if (!stages.isEmpty()) {
                policy = Policy.fromYaml(
                        "tokenprune: 1\nname: golden\nstages:\n" + String.join("\n", stages), name);
            }
            sequence = new Sequence(context, exec);
            sequence.begin(policy, layout, model);
        }

        void read(String line) {
            String[] w = line.trim().split("\\s+");
            switch (w[0]) {
                case "|" -> stages.add(line.substring(2));
                case "preset" -> policy = Policy.preset(w[1]);
                case "model" -> {
                    model.dtype = Dtype.valueOf(w[1].toUpperCase());
                    model.layers = Integer.parseInt(w[2]);
                    model.heads = Integer.parseInt(w[3]);
                    model.kvHeads = Integer.parseInt(w[4]);
                    model.headDim = Integer.parseInt(w[5]);
                    model.hidden = Long.parseLong(w[6]);
                }
                case "widths" -> {
                    int[] n = new int[6];
                    for (int i = 1; i < w.length; i++) {
                        n[i - 1] = Integer.parseInt(w[i]);
                    }
                    model.visionHidden = n[0];
                    model.visionKeyDim = n[1];
                    model.clipDim = n[2];
                    model.textRows = n[3];
                    model.clipTextRows = n[4];
                    model.clipTokenRows = n[5];
                }
                case "sequence" -> layout.addSequence(
                        Long.parseLong(w[2]), Long.parseLong(w[3]), Long.parseLong(w[4]),
                        Integer.parseUnsignedInt(w[1]));
                case "image" -> {
                    int frames = Integer.parseInt(w[2]);
                    int rows = Integer.parseInt(w[3]);
                    int cols = Integer.parseInt(w[4]);
                    int cells = Math.max(frames, 1) * rows * cols;
                    layout.addImage(
                            layout.sequences() - 1,
                            new Layout.Image(Long.parseLong(w[1]), rows, cols).frames(frames)
                                    .rowStride(Integer.parseInt(w[5])).valid(mask(w[6], cells)).keep(mask(w[7], cells)));
                }
                case "positions" -> layout.setPositions(tensor("i32", w[1] + "x" + layout.rows(), w[2]));
                case "point" -> {
                    begin();
                    Point point = sequence.next();
                    assertNotNull(name, point);
                    assertEquals(name, Integer.parseInt(w[1]), point.stage());
                    inputs = new Inputs();
                    decision = null;
                }
                case "in" -> INPUTS.get(w[1]).apply(inputs, tensor(w[2], w[3], w[4]));
                case "out" -> compare(w[1], w[2], w[3], w[4]);
                case "next" -> {
                    assertEquals(name, Integer.parseInt(w[3]),
                            sequence.nextPosition(Integer.parseInt(w[1]), Integer.parseInt(w[2])));
                    checked++;
                }
                case "#" -> { }
                default -> throw new AssertionError(name + ": line " + line);
            }
        }

        static double[] wide(int[] list) {
            return Arrays.stream(list).asDoubleStream().toArray();
        }

        static double[] wide(float[] list) {
            double[] out = new double[list.length];
            for (int i = 0; i < out.length; i++) {
                out[i] = list[i];
            }
            return out;
        }

        void compare(String field, String dtype, String sizes, String offset) {
            if (decision == null) {
                decision = sequence.prune(inputs);
            }
            double[] met = switch (field) {
                case "indices" -> wide(decision.indices());
                case "offsets" -> wide(decision.offsets());
                case "positions" -> wide(decision.positions());
                case "sizes" -> wide(decision.sizes());
                case "assignment" -> wide(decision.assignment());
                case "scores" -> wide(decision.scores());
                case "key_bias" -> wide(decision.keyBias());
                case "merged" -> wide(decision.merged());
                case "merged_at" -> wide(decision.mergedAt());
                default -> throw new AssertionError(field);
            };
            ByteBuffer bytes = at(shape(sizes), offset);
            double[] want;
            if (dtype.equals("f32")) {
                FloatBuffer f = bytes.asFloatBuffer();
                float[] list = new float[f.remaining()];
                f.get(list);
                want = wide(list);
            } else {
                IntBuffer f = bytes.asIntBuffer();
                int[] list = new int[f.remaining()];
                f.get(list);
                want = wide(list);
            }
            assertEquals(name + ": " + field, want.length, met.length);
            for (int i = 0; i < want.length; i++) {
                boolean near = met[i] == want[i]
                        || Math.abs(met[i] - want[i]) <= 1e-5 * Math.max(1, Math.abs(want[i]));
                assertTrue(name + ": " + field + "[" + i + "] is " + met[i] + ", not " + want[i], near);
            }
            checked++;
        }

        void end() {
            assertNull(name, sequence.next());
            assertTrue(name, checked > 0);
            sequence.close();
            exec.close();
            policy.close();
            layout.close();
        }
    }

    private static int folder(String folder, Context context) throws IOException {
        byte[] bytes = Files.readAllBytes(GOLDEN.resolve(folder).resolve("vectors.bin"));
        ByteBuffer data = ByteBuffer.allocateDirect(bytes.length).put(bytes).flip();
        Case c = null;
        int cases = 0;
        for (String line : Files.readAllLines(GOLDEN.resolve(folder).resolve("cases.txt"))) {
            if (line.startsWith("case ")) {
                if (c != null) {
                    c.end();
                }
                c = new Case(line.split("\\s+")[1], data, context);
                cases++;
            } else if (c != null && !line.isBlank()) {
                c.read(line);
            }
        }
        c.end();
        return cases;
    }

    @Test
    public void everyCaseGivesTheSameDecision() throws IOException {
        try (Context context = new Context("ref", 0)) {
            for (String folder : List.of("policies", "published", "controls", "methods")) {
                assertTrue(folder, folder(folder, context) > 2);
            }
        }
    }

    @Test
    public void wrongPoliciesHaveTheSameMessage() throws IOException {
        int read = 0;
        try (DirectoryStream<Path> paths = Files.newDirectoryStream(GOLDEN.resolve("policies/bad"), "*.yaml")) {
            for (Path path : paths) {
                String name = path.getFileName().toString();
                String text = Files.readString(
                        path.resolveSibling(name.replace(".yaml", ".txt")), StandardCharsets.ISO_8859_1);
                byte[] yaml = Files.readAllBytes(path);
                TokenPruneException e =
                        assertThrows(TokenPruneException.class, () -> Policy.fromYaml(yaml, name));
                String met = "TKP_ERR_" + e.status() + " " + e.getMessage() + "\n";
                assertEquals(name, new String(text.getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8), met);
                read++;
            }
        }
        assertTrue(read > 10);
    }
}
