package io.github.tokenprune;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.github.tokenprune.mllm.Model;
import java.nio.file.Path;
import java.util.List;
import org.junit.Test;

/** The reference model on the demo checkpoint. */
public class MllmTest {
    private static final Path DEMO = GoldenTest.GOLDEN.resolve("../../examples/demo");

    @Test
    public void answersPrunedAndNot() {
        try (Context context = new Context();
                Model model = Model.load(context, DEMO.resolve("model"));
                Policy policy = Policy.preset("fastv").withBudget(-1, "{count: 36}")) {
            assertEquals("llava", model.info().kind());
            Model.Request r = new Model.Request(
                    "What color is the circle?", List.of(DEMO.resolve("images/scene_00.png")));
            Model.Answers whole = model.generate(List.of(r, r), new Model.Options());
            assertEquals(288, whole.visualAfter());
            assertFalse(whole.answers().get(0).text().isEmpty());
            assertArrayEquals(whole.answers().get(0).tokens(), whole.answers().get(1).tokens());
            Model.Answers pruned = model.generate(List.of(r), new Model.Options(policy));
            assertEquals(36, pruned.visualAfter());
            assertEquals(36, pruned.answers().get(0).kept().get(0).length);
            assertTrue(pruned.macs() < pruned.macsUnpruned());
        }
    }

    @Test
    public void failuresComeOut() {
        try (Context context = new Context()) {
            assertEquals(Status.IO, assertThrows(
                    TokenPruneException.class, () -> Model.load(context, Path.of("/nowhere"))).status());
            Model model = Model.load(context, DEMO.resolve("model"));
            Model.Request r = new Model.Request("Hello \ud83d\ude00", List.of(Path.of("/nowhere.png")));
            TokenPruneException e = assertThrows(
                    TokenPruneException.class, () -> model.generate(List.of(r), new Model.Options()));
            assertEquals(Status.IO, e.status());
            assertTrue(e.getMessage(), e.getMessage().contains("/nowhere.png"));
            model.close();
            assertThrows(IllegalStateException.class, () -> model.generate(List.of(r), new Model.Options()));
        }
    }
}
