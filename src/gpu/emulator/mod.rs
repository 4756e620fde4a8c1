//! The kernels' sources compiled for the CPU by the system's C++ compiler, for tests without a GPU: within [`emulated`],
//! tensors on the CPU take the ways that tensors on a GPU take.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, WithDType, bail};

use super::launch::{BLOCK, Held, Kernel, Number, Operand, SOURCES};

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in [`emulated`].
pub fn on() -> bool {
    ON.get()
}

/// Runs `work` as if the CPU were a GPU.
pub fn emulated<R>(work: impl FnOnce() -> R) -> R {
    ON.set(true);
    let result = work();
    ON.set(false);
    result
}

/// Names of the kernels, after the preprocessor.
fn names(source: &str) -> Vec<&str> {
    let parts = source.split("extern \"C\" void ").skip(1);
    parts.filter_map(|part| part.split('(').next()).collect()
}

fn compiler(arguments: &[&str]) -> String {
    let output = Command::new("c++").args(arguments).output();
    let output = output.expect("a C++ compiler (`c++`) compiles the kernels for tests");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "c++ {arguments:?}: {problem}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn library() -> &'static libloading::Library {
    static LIBRARY: OnceLock<libloading::Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("Unicode").to_owned();
        let (source, whole, object) = (path("kernels.cc"), path("all.cc"), path("kernels.so"));
        let write = |path: &str, text: &str| {
            let mut file = std::fs::File::create(path).expect("a file");
            std::io::Write::write_all(&mut file, text.as_bytes()).expect("a file");
        };
        let text = format!("{}\n{SOURCES}", include_str!("shim.h"));
        write(&source, &text);
        let options = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"];
        let preprocessed = compiler(&[&options[..], &["-E", "-P", &source]].concat());
        let mut table = String::from(
            "\nextern \"C\" int emulate(const char *name, unsigned blocks, unsigned threads, void **arguments) {\n",
        );
        for name in names(&preprocessed) {
            let _ = writeln!(
                table,
                "    if (!std::strcmp(name, \"{name}\")) return emulator::run({name}, {{blocks, 1, 1}}, {{threads, 1, 1}}, arguments), 0;"
            );
        }
        table += "    return 1;\n}\n";
        write(&whole, &(text + &table));
        compiler(&[&options[..], &["-shared", "-fPIC", "-o", &object, &whole]].concat());
        // SAFETY: the library was just made; loading it runs no code.
        unsafe { libloading::Library::new(&object) }.expect("the library that was just made")
    })
}

fn call(name: &str, blocks: usize, arguments: &mut [*mut c_void]) -> bool {
    type Emulate = unsafe extern "C" fn(*const i8, u32, u32, *mut *mut c_void) -> i32;
    let name = std::ffi::CString::new(name).expect("no zeros");
    // SAFETY: the function has this type, and calls a kernel with arguments of the types of its parameters, which is
    // what tests of each kernel see to.
    unsafe {
        let emulate = library().get::<Emulate>(b"emulate").expect("its function");
        emulate(
            name.as_ptr().cast(),
            blocks as u32,
            BLOCK as u32,
            arguments.as_mut_ptr(),
        ) == 0
    }
}

fn address(storage: &CpuStorage, layout: &Layout) -> Result<*const c_void> {
    fn of<T: WithDType>(storage: &CpuStorage, layout: &Layout) -> Result<*const c_void> {
        let all = T::cpu_storage_as_slice(storage)?;
        Ok(all[layout.start_offset()..].as_ptr().cast())
    }
    match candle_core::backend::BackendStorage::dtype(storage) {
        DType::F32 => of::<f32>(storage, layout),
        DType::F64 => of::<f64>(storage, layout),
        DType::U32 => of::<u32>(storage, layout),
        DType::U8 => of::<u8>(storage, layout),
        DType::I64 => of::<i64>(storage, layout),
        other => bail!("no kernel of ours takes {other:?}"),
    }
}

enum Room {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U32(Vec<u32>),
}

/// What [`Kernel::run`] does with tensors on the CPU. Results start as nonsense, so that a kernel has to write them all.
pub(super) fn run(kernel: &Kernel, inputs: &[Operand]) -> Result<Vec<Storage>> {
    let addresses = inputs.iter().map(|(held, layout)| match held {
        Held::Cpu(storage) => address(storage, layout),
        Held::Cuda(_) => bail!("the emulator runs on the CPU"),
    });
    let mut addresses = addresses.collect::<Result<Vec<_>>>()?;
    let mut rooms = Vec::new();
    for &(dtype, count) in kernel.outputs {
        rooms.push(match dtype {
            DType::F32 => Room::F32(vec![-7e33; count]),
            DType::F64 => Room::F64(vec![-7e33; count]),
            DType::U32 => Room::U32(vec![u32::MAX; count]),
            other => bail!("no kernel of ours makes {other:?}"),
        });
    }
    addresses.extend(rooms.iter_mut().map(|room| match room {
        Room::F32(values) => values.as_mut_ptr().cast::<c_void>().cast_const(),
        Room::F64(values) => values.as_mut_ptr().cast::<c_void>().cast_const(),
        Room::U32(values) => values.as_mut_ptr().cast::<c_void>().cast_const(),
    }));
    // An argument is passed by its address: that of a pointer, or of a number.
    let mut arguments: Vec<*mut c_void> = addresses
        .iter_mut()
        .map(|address| std::ptr::from_mut(address).cast())
        .collect();
    let mut numbers = kernel.numbers.to_vec();
    arguments.extend(numbers.iter_mut().map(|number| match number {
        Number::U32(number) => std::ptr::from_mut(number).cast::<c_void>(),
        Number::F32(number) => std::ptr::from_mut(number).cast(),
        Number::F64(number) => std::ptr::from_mut(number).cast(),
    }));
    if kernel.blocks > 0 && !call(kernel.name, kernel.blocks, &mut arguments) {
        bail!("there is no kernel `{}`", kernel.name);
    }
    let storages = rooms.into_iter().map(|room| match room {
        Room::F32(values) => CpuStorage::F32(values),
        Room::F64(values) => CpuStorage::F64(values),
        Room::U32(values) => CpuStorage::U32(values),
    });
    Ok(storages.map(Storage::Cpu).collect())
}
