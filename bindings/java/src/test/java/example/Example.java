import io.github.tokenprune.*;
import java.nio.FloatBuffer;

public class Example {
    static FloatBuffer numbers(int n) { // in an engine: what the forward has at hand
        FloatBuffer x = Tensor.floats(n); // a direct buffer in native order
        for (int i = 0; i < n; i++) {
            x.put(i, i * 2654435761L % 65536 / 65536f);
        }
        return x;
    }

    public static void main(String[] args) {
        ModelShape model = new ModelShape();
        model.layers = 8;
        model.heads = 8;
        model.hidden = 256;
        model.intermediate = 704;
        try (Context context = new Context(); // device and backends, for the whole process
                Exec exec = new Exec(context); // one for each thread
                Layout layout = new Layout(); // 622 tokens, a 24 x 24 image from row 35
                Policy policy = Policy.preset("fastv");
                Sequence sequence = new Sequence(context, exec)) {
            layout.addSequence(622, 0, 0, 0);
            layout.addImage(0, new Layout.Image(35, 24, 24));
            sequence.begin(policy, layout, model);
            Tensor hidden = Tensor.of(numbers(622 * 256), 622, 256);
            for (Point point = sequence.next(); point != null; point = sequence.next()) {
                // Before layer 2: q and k of layer 1 are wanted. No copy: C reads the buffers.
                Decision decision = sequence.prune(new Inputs()
                        .q(Tensor.of(numbers(622 * 256), 622, 8, 32))
                        .k(Tensor.of(numbers(622 * 256), 622, 8, 32)));
                int rows = (int) point.rowsOut();
                Tensor fewer = Tensor.of(Tensor.floats(rows * 256), rows, 256);
                decision.gather(fewer, hidden);
                hidden = fewer;
            }
            Report report = sequence.report();
            System.out.println(report.visualBefore() + " " + report.visualAfter() + " " + hidden.shape()[0]);
        }
    }
}
