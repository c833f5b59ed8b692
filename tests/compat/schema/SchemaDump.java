// SPDX-License-Identifier: Apache-2.0
// Lets Kafka's own message classes encode every API in every version, both directions, for kafka_schema_check to decode and encode again.
//   java SchemaDump.java <out file> <rounds> <seed>
// Each entry of the file: int16 key, int16 version, int8 kind, int32 length, bytes (big-endian). Kinds: 0 request, 1 response at random;
// 2 request, 3 response as skeleton: every array of structs has one element, every struct is present, everything else is at its default.
// 4 request, 5 response: the skeleton with one field set that the version lacks; an int16 before the length counts these fields from 0, and
// length -1 says that Kafka refuses to encode it (the field is not ignorable).
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.BaseRecords;
import org.apache.kafka.common.record.MemoryRecords;

public class SchemaDump {
    private final Random random;
    private final boolean skeleton;
    private int elementsLeft = 60;
    private int poke;
    private boolean poked;

    SchemaDump(Random random, boolean skeleton, int poke) {
        this.random = random;
        this.skeleton = skeleton;
        this.poke = poke;
    }

    /** What a version knows of a struct: field name (letters only) to its type, and which of them are tagged. */
    private static final class Shape {
        final Map<String, Type> types = new HashMap<>();
        final Map<String, Boolean> tagged = new HashMap<>();

        Shape(Schema schema) {
            for (BoundField bound : schema.fields()) {
                if (bound.def.type instanceof TaggedFields) {
                    for (var tag : ((TaggedFields) bound.def.type).fields().values()) {
                        put(tag.name, tag.type, true);
                    }
                } else {
                    put(bound.def.name, bound.def.type, false);
                }
            }
        }

        private void put(String name, Type type, boolean isTagged) {
            types.put(plain(name), type);
            tagged.put(plain(name), isTagged);
        }
    }

    private static String plain(String name) {
        return name.replace("_", "").toLowerCase();
    }

    private static Schema structOf(Type type) {
        if (type instanceof Schema) {
            return (Schema) type;
        }
        if (type.arrayElementType().isPresent()) {
            return structOf(type.arrayElementType().get());
        }
        // A nullable struct keeps its schema in a private field.
        for (Field field : type.getClass().getDeclaredFields()) {
            if (Schema.class.isAssignableFrom(field.getType())) {
                try {
                    field.setAccessible(true);
                    return (Schema) field.get(type);
                } catch (ReflectiveOperationException e) {
                    throw new IllegalStateException(e);
                }
            }
        }
        throw new IllegalStateException("no struct in " + type.getClass());
    }

    void fill(Object message, Schema schema) throws ReflectiveOperationException {
        Shape shape = new Shape(schema);
        int filled = 0;
        for (Field field : message.getClass().getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers())) {
                continue;
            }
            Type type = shape.types.get(plain(field.getName()));
            if (type == null) {
                if (isMessageField(field) && poke >= 0 && poke-- == 0) {
                    poked = true;
                    poke(message, field);
                }
                continue;
            }
            filled++;
            boolean leave = !skeleton && shape.tagged.get(plain(field.getName())) && random.nextBoolean();
            if (!leave) {
                fillField(message, field, type);
            }
        }
        if (filled != shape.types.size()) {
            throw new IllegalStateException(message.getClass() + ": fields of the schema not found: " + shape.types.keySet());
        }
    }

    /** Fields of Kafka's classes that no supported version has; our schemas leave them out. */
    private static final List<String> GONE = List.of("ShareFetchRequestData$FetchPartition.partitionMaxBytes");

    private static boolean isMessageField(Field field) {
        String name = field.getDeclaringClass().getName();
        if (GONE.contains(name.substring(name.lastIndexOf('.') + 1) + "." + field.getName())) {
            return false;
        }
        return !field.getName().startsWith("_") && !(field.getType() == int.class && List.of("next", "prev").contains(field.getName()));
    }

    /** Moves a field away from its default, whatever that is. */
    @SuppressWarnings("unchecked")
    private void poke(Object message, Field field) throws ReflectiveOperationException {
        field.setAccessible(true);
        Class<?> kind = field.getType();
        Object old = field.get(message);
        if (Collection.class.isAssignableFrom(kind)) {
            Class<?> element = elementClass(field);
            Collection<Object> all = kind.isInterface()
                ? new ArrayList<>() : (Collection<Object>) kind.getDeclaredConstructor().newInstance();
            all.add(Message.class.isAssignableFrom(element) ? element.getDeclaredConstructor().newInstance() : zero(element));
            field.set(message, all);
        } else if (Message.class.isAssignableFrom(kind)) {
            Object struct = kind.getDeclaredConstructor().newInstance();
            if (old != null) {
                poke(struct, Stream.of(kind.getDeclaredFields())
                    .filter(f -> !Modifier.isStatic(f.getModifiers()) && isMessageField(f)).findFirst().get());
            }
            field.set(message, struct);
        } else {
            field.set(message, other(kind, old));
        }
    }

    private static Object zero(Class<?> kind) {
        return kind == Integer.class ? (Object) 0 : kind == Short.class ? (Object) (short) 0 : kind == Byte.class ? (Object) (byte) 0
            : kind == Long.class ? (Object) 0L : "";
    }

    private static Object other(Class<?> kind, Object old) {
        if (kind == boolean.class) {
            return !(Boolean) old;
        } else if (kind == byte.class) {
            return (byte) ((Byte) old ^ 1);
        } else if (kind == short.class) {
            return (short) ((Short) old ^ 1);
        } else if (kind == int.class) {
            return (Integer) old ^ 1;
        } else if (kind == long.class) {
            return (Long) old ^ 1;
        } else if (kind == Uuid.class) {
            return new Uuid(1L << 56, 0);
        } else if (kind == byte[].class) {
            return new byte[] {'x'};
        } else if (kind == String.class) {
            return "x";
        }
        throw new IllegalStateException("no other value for " + kind);
    }

    private void fillField(Object message, Field field, Type type) throws ReflectiveOperationException {
        field.setAccessible(true);
        Class<?> kind = field.getType();
        if (Collection.class.isAssignableFrom(kind)) {
            fillCollection(message, field, type);
        } else if (Message.class.isAssignableFrom(kind)) {
            if (!skeleton && type.isNullable() && random.nextBoolean()) {
                field.set(message, null);
                return;
            }
            Object struct = kind.getDeclaredConstructor().newInstance();
            fill(struct, structOf(type));
            field.set(message, struct);
        } else if (!skeleton) {
            field.set(message, value(kind, type));
        }
    }

    @SuppressWarnings("unchecked")
    private void fillCollection(Object message, Field field, Type type) throws ReflectiveOperationException {
        Class<?> kind = field.getType();
        Class<?> element = elementClass(field);
        boolean structs = Message.class.isAssignableFrom(element);
        if (skeleton && !structs) {
            return;
        }
        if (!skeleton && type.isNullable() && random.nextInt(4) == 0) {
            field.set(message, null);
            return;
        }
        Collection<Object> all = kind.isInterface()
            ? new ArrayList<>() : (Collection<Object>) kind.getDeclaredConstructor().newInstance();
        int count = skeleton ? 1 : Math.min(random.nextInt(4), elementsLeft);
        elementsLeft -= count;
        Type elementType = type.arrayElementType().get();
        for (int i = 0; i < count; i++) {
            if (structs) {
                Object struct = element.getDeclaredConstructor().newInstance();
                fill(struct, structOf(elementType));
                all.add(struct);
            } else {
                all.add(value(element, elementType));
            }
        }
        field.set(message, all);
    }

    private static Class<?> elementClass(Field field) {
        java.lang.reflect.Type generic = field.getGenericType();
        if (!(generic instanceof ParameterizedType)) {
            generic = field.getType().getGenericSuperclass();
        }
        return (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
    }

    private long bits() {
        long any = random.nextLong();
        switch (random.nextInt(4)) {
            case 0: return any & 3;
            case 1: return -1 - (any & 3);
            case 2: return any >>> (1 + random.nextInt(63));
            default: return any;
        }
    }

    private Object value(Class<?> kind, Type type) {
        if (kind == boolean.class) {
            return random.nextBoolean();
        } else if (kind == byte.class || kind == Byte.class) {
            return (byte) bits();
        } else if (kind == short.class || kind == Short.class) {
            return (short) bits();
        } else if (kind == int.class || kind == Integer.class) {
            return type == Type.UINT16 ? (int) (bits() & 0xffff) : (int) bits();
        } else if (kind == long.class || kind == Long.class) {
            return type == Type.UNSIGNED_INT32 ? bits() & 0xffffffffL : bits();
        } else if (kind == double.class) {
            return random.nextInt() / 8.0;
        } else if (kind == Uuid.class) {
            return random.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        }
        return view(kind, type);
    }

    private Object view(Class<?> kind, Type type) {
        if (type.isNullable() && random.nextInt(4) == 0) {
            return null;
        }
        int length = random.nextInt(random.nextInt(16) == 0 ? 300 : 12);
        if (kind == String.class) {
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < length; i++) {
                text.append((char) (random.nextInt(8) == 0 ? 0xc0 + random.nextInt(0x200) : ' ' + random.nextInt(95)));
            }
            return text.toString();
        }
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        if (kind == byte[].class) {
            return bytes;
        } else if (kind == ByteBuffer.class) {
            return ByteBuffer.wrap(bytes);
        } else if (BaseRecords.class.isAssignableFrom(kind)) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        }
        throw new IllegalStateException("no values for " + kind);
    }

    /** The encoded message, or null when it holds a null that this version cannot carry. */
    private static ByteBuffer encode(Message message, Schema schema, short version, boolean skeleton, Random random)
        throws ReflectiveOperationException {
        new SchemaDump(random, skeleton, -1).fill(message, schema);
        try {
            return MessageUtil.toByteBufferAccessor(message, version).buffer();
        } catch (NullPointerException e) {
            return null;
        }
    }

    private static void dump(DataOutputStream out, ApiMessageType api, short version, boolean request, boolean skeleton, Random random)
        throws Exception {
        Schema schema = (request ? api.requestSchemas() : api.responseSchemas())[version];
        ByteBuffer bytes = null;
        // The schemas call every records field nullable, though ShareFetch's is not: draw again.
        for (int attempt = 0; bytes == null && attempt < (skeleton ? 1 : 100); attempt++) {
            Message message = request ? api.newRequest() : api.newResponse();
            bytes = encode(message, schema, version, skeleton, random);
        }
        if (bytes == null) {
            System.err.println("not encodable: " + api + " v" + version + (request ? " request" : " response")
                + (skeleton ? " skeleton" : ""));
            return;
        }
        out.writeShort(api.apiKey());
        out.writeShort(version);
        out.writeByte((request ? 0 : 1) + (skeleton ? 2 : 0));
        out.writeInt(bytes.remaining());
        out.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
    }

    /** The skeleton with each field in turn that the version lacks. */
    private static void dumpPoked(DataOutputStream out, ApiMessageType api, short version, boolean request) throws Exception {
        Schema schema = (request ? api.requestSchemas() : api.responseSchemas())[version];
        for (int poke = 0;; poke++) {
            Message message = request ? api.newRequest() : api.newResponse();
            SchemaDump dump = new SchemaDump(null, true, poke);
            dump.fill(message, schema);
            if (!dump.poked) {
                return;
            }
            ByteBuffer bytes = null;
            try {
                bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
            } catch (UnsupportedVersionException e) {
                // refused: length -1
            }
            out.writeShort(api.apiKey());
            out.writeShort(version);
            out.writeByte(request ? 4 : 5);
            out.writeShort(poke);
            out.writeInt(bytes == null ? -1 : bytes.remaining());
            if (bytes != null) {
                out.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
            }
        }
    }

    public static void main(String[] args) throws Exception {
        int rounds = Integer.parseInt(args[1]);
        Random random = new Random(Long.parseLong(args[2]));
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(args[0])))) {
            for (ApiMessageType api : ApiMessageType.values()) {
                if (!api.listeners().contains(ApiMessageType.ListenerType.BROKER)) {
                    continue;
                }
                for (short version = api.lowestSupportedVersion(); version <= api.highestSupportedVersion(true); version++) {
                    dumpPoked(out, api, version, true);
                    dumpPoked(out, api, version, false);
                    for (int round = 0; round <= rounds; round++) {
                        dump(out, api, version, true, round == 0, random);
                        dump(out, api, version, false, round == 0, random);
                    }
                }
            }
        }
    }
}
