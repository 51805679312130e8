/** Starts Trino from its jars: the engine has no main class of its own outside the packed distribution. It ends when its input does. */
public final class Main {
  public static void main(String[] args) {
    new io.trino.server.Server().start("435");
    Thread parent = new Thread(() -> {
      try {
        while (System.in.read() != -1) {}
      } catch (java.io.IOException gone) {
        // Whoever started it is no more.
      }
      Runtime.getRuntime().halt(1);
    });
    parent.setDaemon(true);
    parent.start();
  }
}
