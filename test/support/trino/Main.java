/** Starts Trino from its jars: the engine has no main class of its own outside the packed distribution. */
public final class Main {
  public static void main(String[] args) {
    new io.trino.server.Server().start("435");
  }
}
