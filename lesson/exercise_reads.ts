/**
 * Runs in a client's process before the client does, and reports each of its
 * reads to the exercise's checker: on stderr, between NUL characters. The client
 * notices nothing.
 *
 * ```text
 * \0asks 16\0   a read begins, with room for 16 bytes
 * \0got 7\0     it brought 7 bytes
 * \0got null\0  it brought the end of the stream
 * ```
 *
 * @module
 */

const { connect } = Deno;

async function connectAndReport(
  options: Deno.ConnectOptions,
): Promise<Deno.TcpConn> {
  const connection = await connect(options);
  const read = connection.read;
  connection.read = async (buffer) => {
    report(`asks ${buffer?.length}`);
    const size = await read.call(connection, buffer);
    report(`got ${size}`);
    return size;
  };
  return connection;
}

function report(what: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`\0${what}\0`));
}

Object.assign(Deno, { connect: connectAndReport });
