package io.github.tokenprune;

import io.github.tokenprune.internal.Libraries;
import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import io.github.tokenprune.internal.tkp_point;
import io.github.tokenprune.internal.tkp_policy_info;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * A named list of stages: where to cut, how to score, select and merge, and to how many. It is
 * data, and may be shared by everything.
 */
public final class Policy extends NativeObject {
    private Policy(long handle) {
        super("policy", handle, Native::flat_destroy);
    }

    private static Policy made(Consumer<long[]> create, NativeObject... of) {
        Libraries.load();
        return with(
                () -> {
                    long[] out = {0};
                    create.accept(out);
                    return new Policy(out[0]);
                },
                of);
    }

    /**
     * A method with the numbers of its paper.
     *
     * @param name such as "fastv"
     * @return the policy
     */
    public static Policy preset(String name) {
        return made(out -> Native.flat_policy_load_preset(out, name));
    }

    /**
     * From YAML.
     *
     * @param yaml the text
     * @param source stands for the file's name in messages
     * @return the policy
     */
    public static Policy fromYaml(String yaml, String source) {
        return fromYaml(yaml.getBytes(StandardCharsets.UTF_8), source);
    }

    /**
     * From YAML.
     *
     * @param yaml its bytes
     * @param source stands for the file's name in messages
     * @return the policy
     */
    public static Policy fromYaml(byte[] yaml, String source) {
        return made(out -> Native.flat_policy_load_text(out, yaml, source));
    }

    /**
     * From a file.
     *
     * @param path YAML
     * @return the policy
     */
    public static Policy load(Path path) {
        return made(out -> Native.flat_policy_load_file(out, path.toString()));
    }

    /**
     * Names of the presets.
     *
     * @return all of them
     */
    public static List<String> presets() {
        Libraries.load();
        List<String> names = new ArrayList<>();
        for (int i = 0; i < Native.flat_preset_count(); i++) {
            names.add(Native.flat_preset_name(i));
        }
        return names;
    }

    /**
     * Tokens kept of n.
     *
     * @param budget as in a policy file: "{ratio: 1/4}"
     * @param n tokens
     * @param boundary of the cut
     * @param layers of the decoder
     * @return how many
     */
    public static long resolve(String budget, long n, int boundary, int layers) {
        Libraries.load();
        long[] out = {0};
        Native.flat_budget_resolve(out, budget, n, boundary, layers);
        return out[0];
    }

    /**
     * A copy with another budget.
     *
     * @param stage -1 = the only one that has a budget
     * @param budget as in a policy file
     * @return the copy
     */
    public Policy withBudget(int stage, String budget) {
        return made(out -> Native.flat_policy_with_budget(out, handle(), stage, budget), this);
    }

    /**
     * A copy with a stage moved; its score layer follows.
     *
     * @param stage -1 = the only one
     * @param kind where to
     * @param boundary layers or blocks before
     * @return the copy
     */
    public Policy withPoint(int stage, Point.Kind kind, int boundary) {
        return made(out -> Native.flat_policy_with_point(out, handle(), stage, kind.code, boundary), this);
    }

    /**
     * A copy for a model of another depth.
     *
     * @param fromLayers it was made for
     * @param layers there are
     * @param fromBlocks of the encoder; 0 = as they are
     * @param blocks likewise
     * @return the copy
     */
    public Policy withDepth(int fromLayers, int layers, int fromBlocks, int blocks) {
        return made(
                out -> Native.flat_policy_with_depth(out, handle(), fromLayers, layers, fromBlocks, blocks), this);
    }

    /**
     * A copy in which every random selector draws from this seed.
     *
     * @param seed 64 bits
     * @return the copy
     */
    public Policy withSeed(long seed) {
        return made(out -> Native.flat_policy_with_seed(out, handle(), seed), this);
    }

    /**
     * With every default written out.
     *
     * @return YAML
     */
    public String yaml() {
        return with(() -> Native.flat_policy_yaml(handle()), this);
    }

    /**
     * Its name.
     *
     * @return the name
     */
    public String name() {
        return with(() -> Native.flat_policy_name(handle()), this);
    }

    /**
     * How many it has.
     *
     * @return stages
     */
    public int stages() {
        return with(() -> Native.flat_policy_stage_count(handle()), this);
    }

    /**
     * What it will want, before anything runs.
     *
     * @return needs and flags
     */
    public PolicyInfo info() {
        tkp_policy_info raw = new tkp_policy_info();
        try {
            return with(
                    () -> {
                        Native.flat_policy_query(handle(), raw);
                        long f = raw.getFlags();
                        return new PolicyInfo(
                                raw.getNeeds(), (f & 1) != 0, (f & 2) != 0, (f & 4) != 0, (f & 8) != 0,
                                (f & 16) != 0, (f & 32) != 0, (f & 64) != 0, raw.getLast_boundary());
                    },
                    this);
        } finally {
            raw.delete();
        }
    }

    /**
     * What a stage will ask for; rows are not known yet, and 0.
     *
     * @param i the stage
     * @return its point
     */
    public Point point(int i) {
        tkp_point raw = new tkp_point();
        try {
            return with(
                    () -> {
                        Native.flat_policy_get_point(handle(), i, raw);
                        return Point.of(raw);
                    },
                    this);
        } finally {
            raw.delete();
        }
    }
}
