/**
 * The plugin of the dialogues about held bodies: it reads the whole content, writes what it thinks into the header, and
 * does what the content says.
 * @module
 */
import type { PluginModule } from "@postern/postern/plugin";

export default ((edge) => ({
  name: "judge",
  holdBody: true,
  hooks: {
    body: {
      async scan(content, { header }) {
        const text = new TextDecoder();
        let body = "";
        for await (const chunk of content) body += text.decode(chunk, { stream: true });
        if (body.includes("refuse me")) return edge.refuse(550, "5.7.1", "Not wanted here");
        header?.append("X-Judge", `${body.split("\r\n").length - 1} lines`);
        if (body.includes("quarantine me")) return edge.quarantine("It asked for it");
      },
    },
  },
})) satisfies PluginModule;
